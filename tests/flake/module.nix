# What modules/nixos.nix makes of a host's settings, evaluated with the stub; scripts/flake-check compares it.
let
  inherit (import ./stub.nix) lib;
  module = import ../../modules/nixos.nix;
  pkgs.regatta = { name = "regatta"; outPath = "/nix/store/regatta"; };
  utils.escapeSystemdExecArgs = arguments: arguments;

  on = settings:
    let
      options = (module { inherit lib pkgs utils; config = { }; }).options.services.regatta;
      config.services.regatta = lib.settle options settings;
    in
    (module { inherit config lib pkgs utils; }).config;

  made = on {
    policy = "policy { }";
    watch.shop = { repo = "https://git.example.org/shop.git"; approvals = "/srv/approvals"; repairDrift = true; };
    watch.lab = { repo = "/srv/lab"; ref = "stable"; interval = 5; user = "lab"; file = "hosts/lab.kdl"; };
    drift.shop = { directory = "/srv/fleet"; };
  };
in
{
  nothing = on { };
  packages = map (package: package.name) made.environment.systemPackages;
  inherit (made.environment) etc;
  inherit (made.systemd) services;
}
