{
  description = "Declarative fleets of virtual machines: one KDL file, a plan you can read, an apply you can trust";

  # Unstable, because regatta follows the newest stable Rust.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      # regatta starts x86-64 guests, and so far only on x86-64 hosts.
      systems = [ "x86_64-linux" ];
      forEachSystem = make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});

      # What regatta runs: docs/dependencies.md says what for. newuidmap has to be setuid, so the system provides it.
      programs = pkgs: [
        pkgs.qemu
        pkgs.e2fsprogs
        pkgs.mmdebstrap
        pkgs.dpkg
        pkgs.gnutar
        pkgs.kmod
        pkgs.xz
        pkgs.openssh
        pkgs.git
      ];

      manifest = (lib.importTOML ./Cargo.toml).package;

      regatta =
        pkgs:
        pkgs.rustPlatform.buildRustPackage {
          pname = manifest.name;
          inherit (manifest) version;
          src = lib.fileset.toSource {
            root = ./.;
            fileset = lib.fileset.unions [
              ./Cargo.toml
              ./Cargo.lock
              ./src
              ./modules
            ];
          };
          cargoLock.lockFile = ./Cargo.lock;
          nativeBuildInputs = [ pkgs.makeWrapper ];
          # The tests read the repository and start virtual machines: scripts/test runs them in the shell below.
          doCheck = false;
          # After the user's own programs: a newer QEMU on the PATH wins.
          postInstall = ''
            wrapProgram $out/bin/regatta --suffix PATH : ${lib.makeBinPath (programs pkgs)}
          '';
          meta = {
            inherit (manifest) description;
            license = [
              lib.licenses.mit
              lib.licenses.asl20
            ];
            mainProgram = "regatta";
            platforms = systems;
          };
        };
    in
    {
      packages = forEachSystem (pkgs: {
        default = regatta pkgs;
      });

      overlays.default = final: _previous: { regatta = regatta final; };

      nixosModules.default = {
        imports = [ ./modules/nixos.nix ];
        nixpkgs.overlays = [ self.overlays.default ];
      };

      # `nix flake check` builds these.
      checks = forEachSystem (pkgs: {
        package = regatta pkgs;
        lints = (regatta pkgs).overrideAttrs (previous: {
          pname = "${previous.pname}-lints";
          nativeBuildInputs = previous.nativeBuildInputs ++ [
            pkgs.clippy
            pkgs.rustfmt
          ];
          buildPhase = ''
            cargo fmt --check
            cargo clippy --offline --lib --bins -- -D warnings
          '';
          installPhase = "touch $out";
          postInstall = "";
        });
      });

      # All of scripts/test runs in here: `nix develop -c scripts/test`.
      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          packages = programs pkgs ++ [
            pkgs.cargo
            pkgs.rustc
            pkgs.clippy
            pkgs.rustfmt
            pkgs.rust-analyzer
            pkgs.cargo-deny
            pkgs.cargo-nextest
            pkgs.firecracker
            pkgs.sudo
            pkgs.jq
            pkgs.tmux
            pkgs.shellcheck
            pkgs.nix
          ];
        };
      });

      formatter = forEachSystem (pkgs: pkgs.nixfmt-rfc-style);
    };
}
