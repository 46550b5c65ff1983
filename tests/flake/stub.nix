# Stands in for nixpkgs, so that flake.nix can be evaluated without a network: only the names that it may use, and
# derivations that are plain attribute sets. A name that is not here is an error, as a misspelt one should be.
let
  lib = {
    genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
    importTOML = file: builtins.fromTOML (builtins.readFile file);
    optional = wanted: element: if wanted then [ element ] else [ ];
    optionals = wanted: elements: if wanted then elements else [ ];
    optionalAttrs = wanted: set: if wanted then set else { };
    nameValuePair = name: value: { inherit name value; };
    mapAttrs' = make: set: builtins.listToAttrs (map (name: make name set.${name}) (builtins.attrNames set));
    recursiveUpdate = left: right: left // right // builtins.mapAttrs (name: value:
      if builtins.isAttrs value && builtins.isAttrs (right.${name} or null)
      then lib.recursiveUpdate value right.${name}
      else right.${name} or value
    ) left;
    mkIf = wanted: set: if wanted then set else { };
    mkOption = option: option;
    # A type is a function that takes a value or refuses it.
    types = {
      str = value: assert builtins.isString value; value;
      lines = value: assert builtins.isString value; value;
      path = value: assert builtins.substring 0 1 (toString value) == "/"; value;
      bool = value: assert builtins.isBool value; value;
      package = value: assert value ? name; value;
      ints.between = low: high: value: assert builtins.isInt value && low <= value && value <= high; value;
      nullOr = type: value: if value == null then null else type value;
      attrsOf = type: builtins.mapAttrs (_: type);
      submodule = module: lib.settle module.options;
    };
    # Options with what was set, and their defaults; setting what is no option is refused.
    settle = options: set:
      assert builtins.removeAttrs set (builtins.attrNames options) == { };
      builtins.mapAttrs (name: option: option.type (set.${name} or option.default)) options;
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
    "cargo" "cargo-deny" "cargo-nextest" "clippy" "dpkg" "e2fsprogs" "firecracker" "git" "gnutar" "jq" "kmod"
    "makeWrapper" "mmdebstrap" "nix" "nixfmt-rfc-style" "openssh" "qemu" "rust-analyzer" "rustc" "rustfmt"
    "shellcheck" "sudo" "tmux" "xz"
  ] // {
    rustPlatform.buildRustPackage = build;
    mkShell = { packages }: { shell = map (each: each.name) packages; };
  };
}
