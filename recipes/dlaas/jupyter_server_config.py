"""What the spawner says of Rucio in RUCIO_* variables, for the extension of JupyterLab; without them it has no instance."""

import os

_TEXTS = {
    "rucio_base_url": "BASE_URL",
    "rucio_auth_url": "AUTH_URL",
    "rucio_webui_url": "WEBUI_URL",
    "rucio_ca_cert": "CA_CERT",
    "app_id": "OAUTH_ID",
    "site_name": "SITE_NAME",
    "vo": "VO",
    "voms_vomses_path": "VOMS_VOMSES_PATH",
    "voms_certdir_path": "VOMS_CERTDIR_PATH",
    "voms_vomsdir_path": "VOMS_VOMSDIR_PATH",
    "destination_rse": "DESTINATION_RSE",
    "rse_mount_path": "RSE_MOUNT_PATH",
    "mode": "MODE",
    "oidc_auth": "OIDC_AUTH",
    "oidc_env_name": "OIDC_ENV_NAME",
    "oidc_file_name": "OIDC_FILE_NAME",
}
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"  # Debian's
_NUMBERS = {
    "path_begins_at": "PATH_BEGINS_AT",
    "replication_rule_lifetime_days": "REPLICATION_RULE_LIFETIME_DAYS",
}
_SWITCHES = {"voms_enabled": "VOMS_ENABLED", "wildcard_enabled": "WILDCARD_ENABLED"}


def _said(name):
    return os.environ.get(f"RUCIO_{name}", "")


def _instance():
    found = {key: _said(name) for key, name in _TEXTS.items() if _said(name)}
    found |= {key: int(_said(name)) for key, name in _NUMBERS.items() if _said(name).isdigit()}
    found |= {key: _said(name) == "1" for key, name in _SWITCHES.items() if _said(name)}
    # The extension refuses to load with an instance of replicas that has no storage, or one of downloads without certificates.
    has_storage = "destination_rse" in found and "rse_mount_path" in found
    found.setdefault("mode", "replica" if has_storage else "download")
    found.setdefault("rucio_ca_cert", _CERTIFICATES)
    name = _said("NAME") or "default"
    return {"name": name, "display_name": _said("DISPLAY_NAME") or name} | found


c = get_config()
c.RucioConfig.instances = [_instance()] if _said("BASE_URL") else []
c.RucioConfig.default_instance = _said("DEFAULT_INSTANCE") or None
c.RucioConfig.default_auth_type = _said("DEFAULT_AUTH_TYPE") or None
c.RucioConfig.log_level = _said("LOG_LEVEL") or "warning"
