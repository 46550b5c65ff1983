# What flake.nix offers, evaluated with the stub; scripts/flake-check compares it with expected.json.
let
  flake = import ../../flake.nix;
  nixpkgs = import ./stub.nix;
  outputs = flake.outputs { self = outputs; inherit nixpkgs; };

  system = "x86_64-linux";
  package = outputs.packages.${system}.default;
  shell = outputs.devShells.${system}.default.shell;
  expected = builtins.fromJSON (builtins.readFile ./expected.json);

  # The wrapper's programs, in alphabetical order, out of `… PATH : a/bin:b/bin`.
  path = builtins.head (builtins.match ".*--suffix PATH : ([^\n]*)\n.*" package.postInstall);
  entries = builtins.filter builtins.isString (builtins.split ":" path);
in
{
  inputs = builtins.attrNames flake.inputs;
  outputs = builtins.mapAttrs (_: builtins.attrNames) { inherit (outputs) checks devShells packages; };
  of_system = builtins.mapAttrs (_: kind: builtins.attrNames kind.${system}) {
    inherit (outputs) checks devShells packages;
  };
  nixos_modules = map toString (map baseNameOf outputs.nixosModules.default.imports);
  formatter = outputs.formatter.${system}.name;
  missing_sources = package.src.missing;
  lock_file_exists = builtins.pathExists package.cargoLock.lockFile;
  license = builtins.concatStringsSep " OR " (map (each: each.spdxId) package.meta.license);
  program = package.meta.mainProgram;
  runs = builtins.sort builtins.lessThan (map (entry: builtins.head (builtins.match "(.*)/bin" entry)) entries);
  shell_has = builtins.filter (name: builtins.elem name shell) expected.shell_has;

  # Equal to Cargo.toml's, and the same by every road.
  versions = [
    package.name
    (outputs.overlays.default nixpkgs.legacyPackages.${system} { }).regatta.name
    outputs.checks.${system}.package.name
    outputs.checks.${system}.lints.name
  ];
}
