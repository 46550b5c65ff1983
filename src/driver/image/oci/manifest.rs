//! Manifests (OCI image specification 1.1, and Docker's, which differ in names only): which layers an image has.

use serde::Deserialize;

use super::Compression;
use super::registry::Registry;
use crate::exec::Failure;
use crate::resource::Digest;

/// Layers of one image. Container runtimes stop at 127.
const MAX_LAYERS: usize = 512;

/// What is asked for: lists and manifests, of both makers.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// A layer, as its manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// Digest of the file.
    pub(super) digest: Digest,
    /// Its length in bytes.
    pub(super) size: u64,
    /// How it is compressed.
    pub(super) compression: Compression,
}

/// A manifest, or a list of them: which one it is tells what it has.
#[derive(Debug, Deserialize)]
struct Document {
    manifests: Option<Vec<Listed>>,
    layers: Option<Vec<Written>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Debug, Deserialize)]
struct Listed {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

/// The layers of an image for this machine's processor, lowest first.
///
/// # Errors
/// When there is no such image, none for this processor, or it has layers that we do not read.
pub(super) async fn layers(registry: &Registry, digest: &str) -> Result<Vec<Descriptor>, Failure> {
    let text = registry.manifest(digest).await?.text;
    let document = parse(&text, registry)?;
    let Some(list) = document.manifests else { return described(document, registry) };
    let architecture = architecture();
    let chosen = choose(&list, architecture).ok_or_else(|| {
        let found: Vec<&str> =
            list.iter().filter_map(|one| Some(one.platform.as_ref()?.architecture.as_str())).collect();
        let found: String = found.join(", ").chars().filter(|c| !c.is_control()).take(200).collect();
        Failure::permanent(format!("`{}` has no image for linux/{architecture}, found {found}", registry.reference()))
    })?;
    let text = registry.manifest(chosen).await?.text;
    described(parse(&text, registry)?, registry)
}

fn parse(text: &[u8], registry: &Registry) -> Result<Document, Failure> {
    serde_json::from_slice(text)
        .map_err(|_| Failure::permanent(format!("the manifest of `{}` is none that we read", registry.reference())))
}

fn choose<'a>(list: &'a [Listed], architecture: &str) -> Option<&'a str> {
    let fits = |platform: &Platform| platform.os == "linux" && platform.architecture == architecture;
    list.iter().find(|one| one.platform.as_ref().is_some_and(fits)).map(|one| one.digest.as_str())
}

/// Go's names, which registries use, for Rust's.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn described(document: Document, registry: &Registry) -> Result<Vec<Descriptor>, Failure> {
    let wrong = |why: String| Failure::permanent(format!("the manifest of `{}` {why}", registry.reference()));
    let layers = document.layers.ok_or_else(|| wrong("lists no layers".to_owned()))?;
    if layers.len() > MAX_LAYERS {
        return Err(wrong(format!("lists {} layers, expected at most {MAX_LAYERS}", layers.len())));
    }
    layers.iter().map(|layer| describe(layer).map_err(wrong)).collect()
}

fn describe(layer: &Written) -> Result<Descriptor, String> {
    let shown = |text: &str| text.chars().filter(|c| !c.is_control()).take(100).collect::<String>();
    let digest = layer.digest.strip_prefix("sha256:").and_then(Digest::parse);
    let digest =
        digest.ok_or_else(|| format!("has a layer with the digest `{}`, expected SHA-256", shown(&layer.digest)))?;
    let compression = match layer.media_type.as_str() {
        "application/vnd.oci.image.layer.v1.tar" => Compression::None,
        "application/vnd.oci.image.layer.v1.tar+gzip" | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            Compression::Gzip
        }
        "application/vnd.oci.image.layer.v1.tar+zstd" => Compression::Zstd,
        other => return Err(format!("has a layer of the type `{}`, which is no file system for Linux", shown(other))),
    };
    Ok(Descriptor { digest, size: layer.size, compression })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn the_manifest_of_this_processor_is_chosen() {
        let text = r#"{"manifests": [
            {"digest": "sha256:a", "platform": {"architecture": "amd64", "os": "windows"}},
            {"digest": "sha256:b", "platform": {"architecture": "unknown", "os": "unknown"}},
            {"digest": "sha256:c"},
            {"digest": "sha256:d", "platform": {"architecture": "arm64", "os": "linux", "variant": "v8"}},
            {"digest": "sha256:e", "platform": {"architecture": "amd64", "os": "linux"}}]}"#;
        let document: Document = serde_json::from_str(text).unwrap();
        let list = document.manifests.unwrap();
        assert_eq!((choose(&list, "amd64"), choose(&list, "arm64")), (Some("sha256:e"), Some("sha256:d")));
        assert_eq!(choose(&list, "riscv64"), None);
    }

    #[test]
    fn layers_are_of_known_types_with_digests_we_check() {
        let layer = |media_type: &str, digest: &str| {
            describe(&Written { media_type: media_type.to_owned(), digest: digest.to_owned(), size: 7 })
        };
        let good = format!("sha256:{HEX}");
        for (media_type, compression) in [
            ("application/vnd.oci.image.layer.v1.tar", Compression::None),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::Gzip),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd),
        ] {
            let digest = Digest::parse(HEX).unwrap();
            assert_eq!(layer(media_type, &good), Ok(Descriptor { digest, size: 7, compression }));
        }
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        for wrong in [format!("sha512:{HEX}"), HEX.to_owned(), "sha256:../../etc/passwd".to_owned()] {
            assert!(layer(gzip, &wrong).is_err(), "{wrong}");
        }
        assert!(layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", &good).is_err());
    }
}
