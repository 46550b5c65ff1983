# Stands in for nixpkgs, so that flake.nix can be evaluated without a network: only the names that it may use, and
# derivations that are plain attribute sets. A name that is not here is an error, as a misspelt one should be.
let
  lib = {
    genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
    importTOML = file: builtins.fromTOML (builtins.readFile file);
    makeBinPath = packages: builtins.concatStringsSep ":" (map (package: "${package.name}/bin") packages);
    licenses = { mit.spdxId = "MIT"; asl20.spdxId = "Apache-2.0"; };
    fileset = {
      unions = files: files;
      toSource = { root, fileset }: {
        missing = map toString (builtins.filter (file: !builtins.pathExists file) fileset);
      };
    };
  };

  package = name: { inherit name; };
  named = names: lib.genAttrs names package;

  build = arguments: arguments // {
    name = "${arguments.pname}-${arguments.version}";
    overrideAttrs = change: build (arguments // change arguments);
  };
in
{
  inherit lib;
  legacyPackages.x86_64-linux = named [
    "cargo" "cargo-deny" "cargo-nextest" "clippy" "dpkg" "e2fsprogs" "firecracker" "git" "gnutar" "jq"
    "makeWrapper" "mmdebstrap" "nix" "nixfmt-rfc-style" "openssh" "qemu" "rust-analyzer" "rustc" "rustfmt"
    "shellcheck" "sudo" "tmux" "xz"
  ] // {
    rustPlatform.buildRustPackage = build;
    mkShell = { packages }: { shell = map (each: each.name) packages; };
  };
}
