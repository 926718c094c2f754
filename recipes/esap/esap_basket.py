"""The user's ESAP shopping basket: the one that a run was given, or the one that the gateway keeps.

    import esap_basket
    esap_basket.items()          # a list of dictionaries, one for each thing in the basket

In a run of Reprolake the basket is a file, without anybody's token in it. On a notebook service it is asked for at the gateway in
ESAP_API_URL (https://HOST/esap-api) with the token of the session, which is never printed or kept.
"""

import ast
import json
import os

try:
    from urllib.request import Request, urlopen
except ImportError:  # Python 2
    from urllib2 import Request, urlopen

__all__ = ["items"]
_TIMEOUT = 30  # seconds


def items():
    """Return what is in the basket. Raises RuntimeError where there is none."""
    path = os.environ.get("REPROLAKE_BASKET") or os.environ.get("ESAP_BASKET")
    if path:
        with open(path) as stream:
            return _unwrapped(json.load(stream))
    address = os.environ.get("ESAP_API_URL")
    if not address:
        raise RuntimeError("there is no basket: REPROLAKE_BASKET, ESAP_BASKET and ESAP_API_URL are not set")
    return _unwrapped(_get(address.rstrip("/") + "/accounts/user-profiles/", "Bearer " + _token()))


def _unwrapped(told):
    """Return the items in any of the forms that gateway, client and pages save baskets in."""
    if isinstance(told, dict):
        for name in ("items", "shopping_cart"):
            if isinstance(told.get(name), list):
                return _unwrapped(told[name])
        profiles = told.get("results")
        if not isinstance(profiles, list) or not profiles:
            raise RuntimeError("the gateway knows no basket of yours: are you logged in?")
        return _unwrapped(profiles[0])
    return [_item(entry) for entry in told]


def _item(entry):
    data = entry.get("item_data", entry) if isinstance(entry, dict) else entry
    if not isinstance(data, dict):
        try:
            data = json.loads(data)
        except ValueError:  # older gateways write Python's form
            data = ast.literal_eval(data)
    return data


def _get(address, authorization):
    request = Request(address, headers={"Accept": "application/json", "Authorization": authorization})
    answer = urlopen(request, timeout=_TIMEOUT)
    try:
        return json.loads(answer.read().decode("utf-8"))
    finally:
        answer.close()


def _token():
    """Return the session's token: the hub's, or the one that the service put into a file."""
    api, own = os.environ.get("JUPYTERHUB_API_URL"), os.environ.get("JUPYTERHUB_API_TOKEN")
    if api and own:
        state = _get(api.rstrip("/") + "/user", "token " + own).get("auth_state") or {}
        token = (state.get("exchanged_tokens") or {}).get("rucio") or state.get("access_token")
        if token:
            return token
    path = os.environ.get("RUCIO_OIDC_FILE_NAME")
    if path:
        with open(path) as stream:
            return stream.readline().strip()
    raise RuntimeError("there is no token for the gateway: neither the hub nor RUCIO_OIDC_FILE_NAME has one")
