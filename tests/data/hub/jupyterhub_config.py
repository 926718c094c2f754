"""A JupyterHub on the loopback whose user servers are containers of the image under test; it is told all by its environment."""

import os
import shutil

from jupyterhub.spawner import SimpleLocalProcessSpawner

HUB, PROXY, PROXY_API = (int(port) for port in os.environ["TEST_PORTS"].split())


class Container(SimpleLocalProcessSpawner):
    """Runs the image's own command by docker, with the hub's variables and nothing else; no variable stands in an argument."""

    def get_env(self):
        """Return the variables of the server; the container's HOME and PATH are the image's."""
        found = super().get_env()
        kept = {
            name: value
            for name, value in found.items()
            if name.startswith(("JUPYTERHUB", "JPY", "CONFIGPROXY"))
        }
        return {**kept, **self.environment}

    async def start(self):
        """Start the container in the host's network, where the hub is."""
        names = [word for name in self.get_env() for word in ("-e", name)]
        place = [*("--name", f"reprolake-hub-{os.getpid()}"), "--network", "host"]
        docker = shutil.which("docker")
        self.cmd = [
            docker,
            "run",
            "--rm",
            *place,
            *names,
            "-e",
            "JUPYTERHUB_SERVICE_URL",
            os.environ["TEST_IMAGE"],
        ]
        return await super().start()

    def get_args(self):
        """Return no arguments: a hub with `cmd: null` gives the image's command none."""
        return []


c = get_config()  # noqa: F821
c.JupyterHub.spawner_class = Container
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.bind_url = f"http://127.0.0.1:{PROXY}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{HUB}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PROXY_API}"
c.ConfigurableHTTPProxy.command = [os.environ["TEST_PROXY"]]
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.services = [{"name": "test", "api_token": os.environ["TEST_TOKEN"]}]
c.JupyterHub.load_roles = [
    {
        "name": "test",
        "scopes": ["admin:users", "admin:servers", "access:servers", "list:users"],
        "services": ["test"],
    }
]
c.Spawner.environment = {
    "ESAP_BASKET": "/repo/basket.json",
    "RUCIO_NAME": "lake",
    "RUCIO_BASE_URL": "https://rucio.invalid",
    "RUCIO_AUTH_URL": "https://rucio.invalid",
}
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 120
