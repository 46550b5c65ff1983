# For NixOS: `services.regatta.watch.NAME` keeps this host as a repository says, `services.regatta.drift.NAME` looks for drift.
# The flake offers it as `nixosModules.default`. docs/gitops.md tells how the two are meant to be used.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  cfg = config.services.regatta;
  inherit (lib) mkOption types;

  command = arguments: utils.escapeSystemdExecArgs ([ "${cfg.package}/bin/regatta" ] ++ arguments);

  user = mkOption {
    type = types.str;
    default = "fleet";
    description = "The account that owns the guests. Where a network is bridged, `regatta sudoers --user` prints the rules that it needs.";
  };
  file = mkOption {
    type = types.str;
    default = "fleet.kdl";
    description = "The fleet file's path, in the repository or below `directory`.";
  };

  watch = types.submodule {
    options = {
      inherit user file;
      repo = mkOption {
        type = types.str;
        example = "https://git.example.org/fleet.git";
        description = "Where the fleet file is: a directory, `https://…`, `ssh://…` or `user@host:path`.";
      };
      ref = mkOption {
        type = types.str;
        default = "main";
        description = "The branch or tag.";
      };
      interval = mkOption {
        type = types.ints.between 1 86400;
        default = 60;
        description = "Seconds between two looks.";
      };
      approvals = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = "/srv/approvals";
        description = "The directory where approvals are put. Without one, nothing that needs an approval is ever done.";
      };
      repairDrift = mkOption {
        type = types.bool;
        default = false;
        description = "Whether what moved since a commit was applied is brought back.";
      };
    };
  };

  drift = types.submodule {
    options = {
      inherit user file;
      directory = mkOption {
        type = types.path;
        example = "/srv/fleet";
        description = "Where the fleet file is.";
      };
      onCalendar = mkOption {
        type = types.str;
        default = "*:0/15";
        description = "When to look, as systemd.time(7) has it.";
      };
    };
  };

  service = name: unit: {
    wants = [ "network-online.target" ];
    after = [ "network-online.target" ];
    # newuidmap and sudo are setuid programs of the system.
    path = [ "/run/wrappers" ];
    serviceConfig = {
      User = unit.user;
      # Guests outlive what started them.
      KillMode = "process";
    };
  };

  watcher =
    name: unit:
    lib.recursiveUpdate (service name unit) {
      description = "Keep the fleet ${name} as its repository says";
      wantedBy = [ "multi-user.target" ];
      serviceConfig = {
        StateDirectory = "regatta-${name}";
        StateDirectoryMode = "0700";
        Restart = "on-failure";
        RestartSec = 30;
        ExecStart = command (
          [
            "--state-dir"
            "/var/lib/regatta-${name}"
            "--file"
            unit.file
            "watch"
            "--repo"
            unit.repo
            "--ref"
            unit.ref
            "--interval"
            (toString unit.interval)
            "--status"
            "/var/lib/regatta-${name}/status"
          ]
          ++ lib.optionals (unit.approvals != null) [
            "--approvals"
            (toString unit.approvals)
          ]
          ++ lib.optional unit.repairDrift "--repair-drift"
        );
      };
    };

  looker =
    name: unit:
    lib.recursiveUpdate (service name unit) {
      description = "Look for drift of the fleet ${name}";
      startAt = unit.onCalendar;
      serviceConfig = {
        Type = "oneshot";
        WorkingDirectory = toString unit.directory;
        # Drift is what it looks for.
        SuccessExitStatus = 2;
        ExecStart = command [
          "--file"
          unit.file
          "drift"
        ];
      };
    };

  units = prefix: make: fleets: lib.mapAttrs' (name: unit: lib.nameValuePair "${prefix}-${name}" (make name unit)) fleets;
in
{
  options.services.regatta = {
    package = mkOption {
      type = types.package;
      default = pkgs.regatta;
      description = "The regatta to run. `overlays.default` of the flake puts it into `pkgs`.";
    };
    policy = mkOption {
      type = types.nullOr types.lines;
      default = null;
      example = ''policy { signers "/etc/regatta/allowed_signers"; }'';
      description = "The host's own policy: no fleet file can weaken it.";
    };
    watch = mkOption {
      type = types.attrsOf watch;
      default = { };
      description = "Repositories to keep this host by.";
    };
    drift = mkOption {
      type = types.attrsOf drift;
      default = { };
      description = "Fleets to look at for drift.";
    };
  };

  config = lib.mkIf (cfg.policy != null || cfg.watch != { } || cfg.drift != { }) {
    environment.systemPackages = [ cfg.package ];
    # With a mode it is a file: regatta refuses a policy that is a link.
    environment.etc = lib.optionalAttrs (cfg.policy != null) {
      "regatta/policy.kdl" = {
        text = cfg.policy;
        mode = "0444";
      };
    };
    systemd.services = units "regatta-watch" watcher cfg.watch // units "regatta-drift" looker cfg.drift;
  };
}
