"""Recipes: layers of a site that are stacked on any repository's environment and change none of its pins."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest
from certificates import certificate
from source_builds import folder, locked, run_python

from reprolake.describe import lock_lines
from reprolake.pipeline import SHIPPED_RECIPES, Request, obtain_image, obtain_lock
from reprolake_builder.documents.base import pretty
from reprolake_builder.documents.lock import RecipeFile, RecipeLock
from reprolake_builder.errors import BuildError, LockError
from reprolake_builder.recipes import find_recipe
from reprolake_builder.stacking import stacked

ROOT = Path(__file__).parent.parent.parent
SAMPLE = ROOT / "sample-repos" / "no-parameters"
pytestmark = pytest.mark.engine("bubblewrap")


def recipe(path: Path, text: str) -> str:
    """Write a recipe and return its path as the command takes it."""
    path.write_text(f'version = 1\ntitle = "for a test"\n{text}')
    return str(path)


def with_recipes(here, link: str, *recipes: str):
    """Obtain a lock with these recipes."""
    return obtain_lock(
        Request(link=link, as_of="2024-06-01", python="3.11", recipes=recipes), here, fresh=True
    )


def pins(lock) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in lock.wheels}


def test_an_own_environment_leaves_the_repositorys_alone(tmp_path, here):
    """The recipe's packages, in another version even, lie at its own prefix; the repository's stay as they are."""
    link = folder(tmp_path / "r", requirements__txt="six==1.15.0\n")
    mine = recipe(tmp_path / "mine.toml", 'requirements = ["six==1.16.0"]\npath = ["@prefix@/bin"]\n')
    obtained = with_recipes(here, link, mine)
    plain = locked(link, here)
    assert pins(obtained.lock) == pins(plain)
    (pinned,) = obtained.lock.recipes
    assert {wheel.name: wheel.version for wheel in pinned.wheels}["six"] == "1.16.0"
    code = "import six, subprocess; print(six.__version__, subprocess.check_output(['/opt/recipes/mine/bin/python', '-c', 'import six; print(six.__version__)'], text=True).strip())"
    assert run_python(obtained, here, code).strip() == "1.15.0 1.16.0"
    assert obtain_image(obtained, here).env["PATH"].endswith(":/opt/recipes/mine/bin")


def test_packages_beside_the_environments_keep_its_pins(tmp_path, here):
    """In the environment itself a recipe's packages are chosen under the repository's pins and only what is new is added."""
    link = folder(tmp_path / "r", requirements__txt="six==1.15.0\n")
    mine = recipe(tmp_path / "mine.toml", 'prefix = "environment"\nrequirements = ["tabulate"]\n')
    obtained = with_recipes(here, link, mine)
    (pinned,) = obtained.lock.recipes
    assert [wheel.name for wheel in pinned.wheels] == ["tabulate"]
    (told,) = [line for line in lock_lines(obtained.lock) if line.startswith("recipe ")]
    assert told.startswith("recipe      mine (")
    assert told.endswith(f"1 wheels, {pinned.wheels[0].size / 1e6:.0f} MB to fetch, sha256 {pinned.sha256}")
    assert run_python(obtained, here, "import tabulate, six; print(six.__version__)").strip() == "1.15.0"


def test_packages_that_exclude_each_other_are_told(tmp_path, here):
    """A recipe that wants another version of a pinned package is refused, with both named."""
    link = folder(tmp_path / "r", requirements__txt="six==1.15.0\n")
    mine = recipe(tmp_path / "mine.toml", 'prefix = "environment"\nrequirements = ["six==1.16.0"]\n')
    with pytest.raises(
        LockError, match=r"the recipe mine cannot be had beside the packages of the environment"
    ) as found:
        with_recipes(here, link, mine)
    assert "six==1.15.0" in found.value.message
    assert "six==1.16.0" in found.value.message


@pytest.mark.parametrize("what", ["file", "variable"])
def test_two_recipes_that_want_one_thing_differently_are_told(tmp_path, here, what):
    """Two recipes with other content for one file, or one variable, are refused; the same content is no conflict."""
    texts = {"file": '[[file]]\npath = "/etc/x"\ntext = "{}"\n', "variable": '[variables]\nX = "{}"\n'}
    one = recipe(tmp_path / "one.toml", texts[what].format("1"))
    same = recipe(tmp_path / "same.toml", texts[what].format("1"))
    other = recipe(tmp_path / "other.toml", texts[what].format("2"))
    assert len(with_recipes(here, str(SAMPLE), one, same).lock.recipes) == 2
    with pytest.raises(LockError, match="recipe one and the recipe other want"):
        with_recipes(here, str(SAMPLE), one, other)


def test_a_recipe_is_pinned_by_its_content(tmp_path, here):
    """A changed file of a recipe is another recipe: its hash differs, and a remembered lock does not answer for it."""
    mine = recipe(tmp_path / "mine.toml", '[[file]]\npath = "/etc/x"\nsource = "x.txt"\n')
    request = Request(link=str(SAMPLE), python="3.11", recipes=(mine,))
    hashes = []
    for text in ("one", "two", "two"):
        (tmp_path / "x.txt").write_text(text)
        obtained = obtain_lock(request, here)
        hashes.append(obtained.lock.recipes[0].sha256)
        assert obtained.lock.recipes[0].files[0].text == text
    assert hashes[0] != hashes[1] == hashes[2]


def test_files_variables_and_labels_are_in_the_image(tmp_path, here):
    """What a recipe has beside packages is there, its places filled in, and folders for the user are the user's."""
    mine = recipe(
        tmp_path / "mine.toml",
        'prefix = "environment"\nwritable = ["/opt/data"]\ncommand = ["@environment@/bin/python", "-V"]\n[variables]\nMINE = "@python@"\n'
        '[labels]\n"org.example.site" = "here"\n[[file]]\npath = "@site@/mine.py"\ntext = "WHERE = \'@prefix@\'"\n',
    )
    obtained = with_recipes(here, str(SAMPLE), mine)
    image = obtain_image(obtained, here)
    assert image.env["MINE"] == "/opt/env/bin/python"
    assert image.settings["Cmd"] == ["/opt/env/bin/python", "-V"]
    assert image.settings["Labels"]["org.example.site"] == "here"
    assert image.annotations["reprolake.recipe.mine"] == obtained.lock.recipes[0].sha256
    assert run_python(obtained, here, "import mine; print(mine.WHERE)").strip() == "/opt/env"
    entries = {entry.path: entry for key in image.trees for entry in here.tools.store.tree(key).entries}
    assert (entries[b"opt/data"].uid, entries[b"opt/data"].gid) == (1000, 100)


@pytest.mark.parametrize(
    "path", ["/home/jovyan/.bashrc", "/repo/x", "/proc/x", "/opt/reprolake/reprolake.lock"]
)
def test_places_of_others_are_refused(tmp_path, here, path):
    """Nothing is baked into the home folder or the repository, also when a lock was changed by hand."""
    mine = recipe(tmp_path / "mine.toml", f'[[file]]\npath = "{path}"\ntext = "x"\n')
    obtained = with_recipes(here, str(SAMPLE), mine)
    with pytest.raises(BuildError, match="that place is not a recipe's"):
        obtain_image(obtained, here)


@pytest.mark.parametrize("path", ["etc/x", "/etc/../x", "/etc//x", "/etc/.wh.x", "/etc/x\\n"])
def test_paths_that_are_none_are_refused(tmp_path, here, path):
    """A path has to be absolute and plain."""
    mine = recipe(tmp_path / "mine.toml", f'[[file]]\npath = "{path}"\ntext = "x"\n')
    with pytest.raises(LockError):
        with_recipes(here, str(SAMPLE), mine)


def test_an_unknown_recipe_lists_those_there_are(reprolake):
    """A name that no recipe has is an error with the names."""
    done = reprolake("lock", SAMPLE, "--recipe", "dlas")
    assert done.returncode == 13
    for name in ("ca-bundle", "dlaas", "esap", "jupyter"):
        assert name in done.stderr


def test_an_unknown_field_is_refused(tmp_path, here):
    """A mistyped key of a recipe is named, not passed over."""
    with pytest.raises(LockError, match="requirement"):
        with_recipes(here, str(SAMPLE), recipe(tmp_path / "mine.toml", "requirement = []\n"))


def test_the_sites_certificates(tmp_path, here):
    """`ca-bundle` puts the bundle of the setting into the image and says so to every program."""
    bundle, _ = certificate(tmp_path)
    found = find_recipe("ca-bundle", SHIPPED_RECIPES, {"ca_bundle": str(bundle)})
    obtained = obtain_lock(Request(link=str(SAMPLE), python="3.11"), here)
    lock = stacked((found,), obtained.lock, here.now, lambda _: obtained.lock)
    code = "import os, ssl; print(len(ssl.create_default_context().get_ca_certs())); print(open(os.environ['PIP_CERT']).read())"
    count, text = run_python(dataclasses.replace(obtained, lock=lock), here, code).split("\n", 1)
    assert count == "1"
    assert text.strip() == bundle.read_text().strip()


def test_certificates_that_are_not_set_are_asked_for():
    """Without the setting the recipe says which one to set."""
    with pytest.raises(LockError, match="ca_bundle, which is not set"):
        find_recipe("ca-bundle", SHIPPED_RECIPES, {"ca_bundle": ""})


def test_jupyter_lab_starts_with_the_repositorys_kernel(tmp_path, here):
    """The `jupyter` recipe's Lab knows one kernel, which is the environment's."""
    obtained = with_recipes(here, str(SAMPLE), "jupyter")
    code = "import subprocess; print(subprocess.check_output(['/opt/recipes/jupyter/bin/jupyter', 'kernelspec', 'list', '--json'], text=True))"
    specs = json.loads(run_python(obtained, here, code))["kernelspecs"]
    assert [spec["spec"]["argv"][0] for spec in specs.values()] == ["/opt/env/bin/python"]


def test_a_lock_with_recipes_reads_back_and_builds_the_same(tmp_path, here):
    """The lock alone decides: read back from its file, without the recipe being there, it gives the same image."""
    mine = recipe(tmp_path / "mine.toml", '[[file]]\npath = "/etc/x"\ntext = "x"\n')
    obtained = with_recipes(here, str(SAMPLE), mine)
    first = obtain_image(obtained, here)
    Path(mine).unlink()
    (tmp_path / "a.lock").write_bytes(pretty(obtained.lock))
    again = obtain_lock(Request(link=str(tmp_path / "a.lock")), here)
    assert obtain_image(again, here).id == first.id


def test_a_lock_with_a_changed_recipe_is_another_image(tmp_path, here):
    """What a recipe's file says is part of what the image is."""
    mine = recipe(tmp_path / "mine.toml", '[[file]]\npath = "/etc/x"\ntext = "x"\n')
    obtained = with_recipes(here, str(SAMPLE), mine)
    (pinned,) = obtained.lock.recipes
    changed = msgspec.structs.replace(pinned, files=(msgspec.structs.replace(pinned.files[0], text="y"),))
    other = msgspec.structs.replace(obtained.lock, recipes=(changed,))
    (tmp_path / "a.lock").write_bytes(pretty(other))
    assert (
        obtain_image(obtain_lock(Request(link=str(tmp_path / "a.lock")), here), here).id
        != obtain_image(obtained, here).id
    )


# ---------------------------------------------------------------------- the basket helper
@pytest.fixture
def helper():
    """The module that the recipe `esap` puts into an environment."""
    spec = importlib.util.spec_from_file_location("esap_basket", ROOT / "recipes" / "esap" / "esap_basket.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ITEM = {"archive": "zenodo", "record": 1}
FORMS = {
    "list": [ITEM],
    "patch": {"shopping_cart": [ITEM]},
    "profile": {"user_name": "j", "shopping_cart": [{"item_data": json.dumps(ITEM), "user_profile": "j"}]},
    "profiles": {"count": 1, "results": [{"shopping_cart": [{"item_data": json.dumps(ITEM)}]}]},
    "client": [{"item_data": str(ITEM), "user_profile": "j"}],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_basket_is_read(helper, monkeypatch, tmp_path, form):
    """Gateway, client and pages save baskets in five forms; the helper gives the same items for each."""
    (tmp_path / "basket.json").write_text(json.dumps(FORMS[form]))
    monkeypatch.delenv("REPROLAKE_BASKET", raising=False)
    monkeypatch.setenv("ESAP_BASKET", str(tmp_path / "basket.json"))
    assert helper.items() == [ITEM]


def test_a_session_of_the_hub_asks_the_gateway(helper, monkeypatch):
    """On a notebook service the hub is asked for the user's token, and the gateway for the basket with it."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            known = {"/hub/api/user": {"auth_state": {"exchanged_tokens": {"rucio": "t0ken"}}}}
            answer = known.get(self.path, FORMS["profiles"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    for name in ("REPROLAKE_BASKET", "ESAP_BASKET", "RUCIO_OIDC_FILE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ESAP_API_URL", f"{base}/esap-api/")
    monkeypatch.setenv("JUPYTERHUB_API_URL", f"{base}/hub/api")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "0wn")
    try:
        assert helper.items() == [ITEM]
    finally:
        server.shutdown()
        server.server_close()
    assert asked == [("/hub/api/user", "token 0wn"), ("/esap-api/accounts/user-profiles/", "Bearer t0ken")]


def test_a_missing_login_is_a_sentence(helper, monkeypatch):
    """An empty answer of the gateway, which it gives to strangers, is told as what it is."""
    monkeypatch.setattr(helper, "_get", lambda *_: {"count": 0, "results": []})
    monkeypatch.setattr(helper, "_token", lambda: "x")
    for name in ("REPROLAKE_BASKET", "ESAP_BASKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ESAP_API_URL", "https://gateway.invalid")
    with pytest.raises(RuntimeError, match="are you logged in"):
        helper.items()


# ---------------------------------------------------------------------- places
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"files": [("/bin/x", "")]}, r"/bin is a link to usr/bin"),
        ({"writable": ("/lib64",)}, r"/lib64 is a link to usr/lib64"),
        ({"files": [("/opt/a", ""), ("/opt/a/b", "")]}, r"cannot have /opt/a"),
        ({"files": [("/opt/" + "ß" * 200, "")]}, "File name too long"),
        ({"files": [("/home/jovyan/x", "")]}, "not a recipe's"),
    ],
)
def test_what_would_break_the_image_is_refused(tmp_path, here, changes, words):
    """A lock that has a recipe's things where links of the image or other things lie ends with a sentence, and no image."""
    files = [RecipeFile(path=path, text=text) for path, text in changes.get("files", ())]
    lock = locked(str(SAMPLE), here)
    pinned = RecipeLock(
        name="x",
        title="x",
        sha256="0" * 64,
        as_of=lock.as_of,
        prefix="/opt/env",
        **{**changes, "files": tuple(files)},
    )
    (tmp_path / "a.lock").write_bytes(pretty(msgspec.structs.replace(lock, recipes=(pinned,))))
    with pytest.raises(BuildError, match=words):
        obtain_image(obtain_lock(Request(link=str(tmp_path / "a.lock")), here), here)


def test_an_environment_of_its_own_lies_where_recipes_lie(tmp_path, here):
    """A lock cannot lay a recipe's Python over the image's own."""
    lock = locked(str(SAMPLE), here)
    pinned = RecipeLock(
        name="x", title="x", sha256="0" * 64, as_of=lock.as_of, prefix="/usr", interpreter=lock.interpreter
    )
    (tmp_path / "a.lock").write_bytes(pretty(msgspec.structs.replace(lock, recipes=(pinned,))))
    with pytest.raises(BuildError, match="has its environment at /usr, and not at /opt/recipes/x"):
        obtain_image(obtain_lock(Request(link=str(tmp_path / "a.lock")), here), here)


def test_a_file_that_is_not_there_is_told_with_who_wants_it(tmp_path):
    """A missing recipe brings the names of those that there are, a missing file of one the recipe that takes it."""
    with pytest.raises(LockError, match=r"none\.toml cannot be read: No such file or directory\n") as none:
        find_recipe(str(tmp_path / "none.toml"), SHIPPED_RECIPES, {})
    assert "dlaas" in none.value.hint
    mine = recipe(tmp_path / "mine.toml", '[[file]]\npath = "/etc/x"\nsource = "x.conf"\n')
    with pytest.raises(LockError, match=r"x\.conf cannot be read: No such file or directory\n") as gone:
        find_recipe(mine, SHIPPED_RECIPES, {})
    assert f"{mine} takes /etc/x from there" in gone.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = " + "[" * 100_000, "is no recipe"),
        ('"a\x1bb" = 1', "is no recipe"),
        ('[[file]]\npath = "/etc/x"\nsource = "../secret"\n', "does not lie beside it"),
        ('[[file]]\npath = "/etc/x"\nsource = "/etc/passwd"\n', "does not lie beside it"),
        ('[[file]]\npath = "/etc/x"\nsource = "link"\n', "cannot be read"),
        ('[[file]]\npath = "/etc/x"\nsource = "folder/secret"\n', "cannot be read"),
        ('[[file]]\npath = "/etc/x"\nsource = "pipe"\n', "cannot be read"),
    ],
)
def test_a_recipe_takes_nothing_but_its_own_files(tmp_path, text, words):
    """Neither a path, a link nor a pipe makes a stranger's recipe take other files of this host, or wait for one."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "mine" / "folder").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "mine" / "pipe")
    with pytest.raises(LockError, match=words) as raised:
        find_recipe(recipe(tmp_path / "mine" / "mine.toml", text), SHIPPED_RECIPES, {})
    assert "\x1b" not in str(raised.value)
