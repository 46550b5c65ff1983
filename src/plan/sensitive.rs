//! Which file contents must never be shown or stored: they are digests from the first moment.

use crate::resource::GuestPath;

/// File names that hold credentials by convention, wherever they lie.
const NAMES: [&str; 14] = [
    ".netrc",
    ".pgpass",
    ".my.cnf",
    ".git-credentials",
    ".npmrc",
    ".pypirc",
    ".vault-token",
    "credentials",
    "credentials.json",
    "credentials.toml",
    "auth.json",
    "hosts.yml",
    "kubeconfig",
    ".env",
];

/// Directories whose files are credentials unless they are known to be public.
const DIRECTORIES: [&str; 5] = [".gnupg", ".password-store", ".kube", ".docker", ".age"];

/// What credentials contain: armour, and the prefixes that issuers put before tokens so that scanners find them.
const MARKS: [&str; 12] = [
    "PRIVATE KEY-----",
    "AGE-SECRET-KEY-",
    "aws_secret_access_key",
    "ghp_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "sk_live_",
    "npm_",
    "PVEAPIToken=",
    "hvs.",
];

/// Whether the content of a file must be hidden. Errs towards hiding: a hidden diff is a nuisance, a shown key is gone.
pub(super) fn is_sensitive(path: &GuestPath, text: &str) -> bool {
    by_path(path) || MARKS.iter().any(|mark| text.contains(mark))
}

fn by_path(path: &GuestPath) -> bool {
    let mut parts: Vec<&[u8]> = path.as_bytes().split(|b| *b == b'/').collect();
    let Some(name) = parts.pop() else { return false };
    let name = String::from_utf8_lossy(name).to_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    NAMES.contains(&name.as_str())
        || matches!(extension, "key" | "pem" | "p12" | "pfx" | "kdbx")
        || (name.starts_with("id_") && extension != "pub")
        || parts.iter().any(|part| DIRECTORIES.iter().any(|directory| directory.as_bytes() == *part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(path: &str, text: &str) -> bool {
        is_sensitive(&GuestPath::new(path).unwrap(), text)
    }

    #[test]
    fn credentials_are_known_by_name_and_by_content() {
        for path in [".aws/credentials", ".ssh/id_ed25519", "tls/server.KEY", ".kube/config", ".config/gh/hosts.yml"] {
            assert!(hidden(path, ""), "{path} was shown");
        }
        assert!(hidden("notes", "-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        assert!(hidden("deploy.sh", "curl -H 'PRIVATE-TOKEN: glpat-abc'"));
    }

    #[test]
    fn ordinary_files_are_shown() {
        for path in
            [".ssh/id_ed25519.pub", ".ssh/authorized_keys", ".gitconfig", ".aws/config", ".config/nvim/init.lua"]
        {
            assert!(!hidden(path, "ssh-ed25519 AAAA me\n"), "{path} was hidden");
        }
    }
}
