"""Baskets: every wrapping is understood, no token gets through, nothing from outside breaks the reader."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reprolake_builder.documents.base import decode, encode
from reprolake_runner.basket import MAX_BYTES, read_basket
from reprolake_runner.basket_item import did
from reprolake_runner.documents.basket import Basket
from reprolake_runner.errors import BasketError

SAVED = Path(__file__).parent / "baskets"
HERE = Path("/data set/crab")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["url", "name", "record", "archive", "item_data", "shopping_cart", "results", "size", "md5"]
            )
            | st.text(),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


def read(value, folder=HERE):
    return read_basket(json.dumps(value).encode(), "basket.json", folder)


def refused(value):
    with pytest.raises(BasketError) as caught:
        read_basket(value if isinstance(value, bytes) else json.dumps(value).encode(), "basket.json", HERE)
    return caught.value.message


def test_a_relative_file_url_starts_at_the_folder_of_the_basket():
    """A plain item becomes a file with an absolute URL, its size and its checksum."""
    basket = read([{"name": "events", "url": "file:run 1/events.fits", "size": 2880, "sha256": "AB" * 32}])
    (item,) = basket.items
    assert item.url == "file:///data%20set/crab/run%201/events.fits"
    assert (item.kind, item.name, item.size, item.checksums) == (
        "file",
        "events",
        2880,
        {"sha256": "ab" * 32},
    )


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:a.fits", "/data%20set/crab/a.fits"),
        ("file:./a.fits", "/data%20set/crab/a.fits"),
        ("file:/abs/a.fits", "/abs/a.fits"),
        ("file:///abs/a.fits", "/abs/a.fits"),
        ("file://localhost/abs/a.fits", "/abs/a.fits"),
        ("FILE:a%20b.fits", "/data%20set/crab/a%20b.fits"),
        ("file:run#3.fits", "/data%20set/crab/run%233.fits"),
        ("file:%ff.fits", "/data%20set/crab/%FF.fits"),
    ],
)
def test_every_spelling_of_a_file_url_is_understood(url, path):
    """All forms of RFC 8089 for this host lead to one form."""
    assert read([url]).items[0].url == f"file://{path}"


def test_a_file_url_of_another_host_is_refused():
    """A file on another host cannot be read here, and the message says so."""
    assert "$[0].url: the file is on the host 'elsewhere'" in refused(["file://elsewhere/a.fits"])


def test_a_path_without_scheme_is_refused_with_the_right_spelling():
    """Someone who forgets `file:` is told how to write it."""
    assert "a local file is written as file:events.fits" in refused([{"url": "events.fits"}])


@pytest.mark.parametrize(
    "shape", ["a_datasets", "b_patch", "c_profiles", "d_profile", "e_client", "e_client_old"]
)
def test_every_wrapping_holds_the_same_items(shape):
    """However the gateway wraps the cart, the same items with the same ids come out."""
    basket = read_basket((SAVED / f"basket_{shape}.json").read_bytes(), shape, HERE)
    plain = read_basket((SAVED / "basket_a_datasets.json").read_bytes(), "a", HERE)
    assert basket == plain
    assert len(basket.items) >= 7


@pytest.mark.parametrize("shape", ["c_profiles", "d_profile"])
def test_the_tokens_of_a_saved_profile_stay_behind(shape):
    """A profile holds OIDC tokens; the basket made from it does not, nor any name of the user."""
    data = (SAVED / f"basket_{shape}.json").read_bytes()
    assert b"TOKEN-MUST-NOT-LEAK" in data
    text = encode(read_basket(data, shape, HERE))
    assert b"TOKEN-MUST-NOT-LEAK" not in text
    assert b"jdoe" not in text


def test_what_looks_like_a_credential_is_dropped_from_records():
    """Keys and URL parts that carry secrets do not get into the basket; other values stay as they are."""
    secret = "s3cr3t-value"
    jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefgh"
    (item,) = read(
        [
            {
                "archive": "x",
                "record": {
                    "access_token": secret,
                    "Api-Key": secret,
                    "nested": [{"password": secret, "kept": 1}],
                    "url": f"https://me:{secret}@host/a.fits?x=1&access_token={secret}",
                    "note": f"Authorization: Bearer {secret}",
                    "header": jwt,
                },
            }
        ]
    ).items
    text = encode(item)
    assert secret.encode() not in text
    assert jwt.encode() not in text
    assert item.url == "https://host/a.fits?x=1&access_token=REMOVED"
    assert item.record["nested"] == [{"kept": 1}]


@pytest.mark.parametrize(
    "text",
    [
        "https://me:SECR@ET@host/a.fits",
        "ftp://me:SECR@ET@host/a.fits",
        "https://host/a.fits#access_token=SECRET",
        "https://host/a.fits;token=SECRET",
        "https://host/a.fits?auth=SECRET&jwt=SECRET&pwd=SECRET&passwd=SECRET",
        "/a.fits?token=SECRET",
    ],
)
def test_a_credential_is_found_wherever_a_url_may_have_it(text):
    """Passwords with an @, fragments, matrix parameters and relative URLs are no hiding places, nor in error texts."""
    (item,) = read([{"record": {"note": text}}]).items
    assert not re.search("SECR|ET@", encode(item).decode()), item.record
    assert not re.search("SECR|ET@", BasketError(text).message)


@pytest.mark.parametrize("key", ["bearer", "jwt", "pwd", "accessKey", "secret_access_key"])
def test_a_key_that_names_a_credential_is_dropped(key):
    """Names of credentials drop what they name; an author is none."""
    (item,) = read([{"record": {key: "SECRET", "author": "Ada", "keywords": ["crab"]}}]).items
    assert item.record == {"author": "Ada", "keywords": ["crab"]}


def test_positional_records_are_searched_for_a_url_not_counted():
    """A record without column names may have shifted columns: the URL is found by what it looks like."""
    (item,) = read(
        [{"archive": "vo_reg", "record": ["Crab", " nebula", "ivo://x/y", "https://h/ib4x.fits", 3]}]
    ).items
    assert (item.url, item.name, item.kind) == ("https://h/ib4x.fits", "ib4x.fits", "file")


def test_rucio_items_have_a_did_and_checksums():
    """A Rucio file keeps what identifies and verifies it; a dataset is a collection."""
    file, dataset = read(
        [
            {
                "archive": "rucio",
                "record": {"scope": "t", "name": "a.fits", "bytes": 9, "adler32": "1a0100a2"},
            },
            {"archive": "rucio", "record": {"scope": "t", "name": "ds", "type": "DATASET"}},
        ]
    ).items
    assert (did(file), file.kind, file.size, file.checksums) == (
        "t:a.fits",
        "file",
        9,
        {"adler32": "1a0100a2"},
    )
    assert (did(dataset), dataset.kind) == ("t:ds", "collection")


def test_the_size_of_a_vo_service_is_not_taken_for_bytes():
    """ObsCore estimates in kB: taking it for bytes would refuse every file."""
    (item,) = read(
        [{"archive": "astron_vo", "record": {"name": "a", "size": "36912", "url": "https://h/a"}}]
    ).items
    assert item.size is None


def test_items_that_nobody_can_fetch_stay_in_the_basket():
    """An export to be generated, or a service that we do not know, is kept with its record."""
    items = read(
        [{"archive": "zooniverse", "project_id": "7"}, {"archive": "new", "record": [1, None]}]
    ).items
    assert [(item.kind, item.url) for item in items] == [("export", ""), ("unknown", "")]
    assert items[0].record["project_id"] == "7"


def test_an_item_selected_twice_is_one_item():
    """The gateway lists the same selection several times; equal items are one."""
    assert len(read(["file:a", "file:a", "file:b"]).items) == 2


def test_ids_depend_on_the_item_only():
    """The id is the same wherever the basket lies."""
    assert read(["file:a"], Path("/one")).items[0].id == read(["file:a"], Path("/two")).items[0].id


def test_a_service_cannot_name_files_of_this_host():
    """A cart that comes from a server cannot make us read /etc/shadow into a notebook."""
    cart = {"shopping_cart": [{"archive": "x", "record": {"name": "a", "url": "file:///etc/shadow"}}]}
    assert "$.shopping_cart[0].record.url: a file: URL from a service" in refused(cart)
    wrapped = [{"item_data": json.dumps({"url": "file:///etc/shadow"}), "user_profile": "x"}]
    assert "$[0].item_data.url" in refused(wrapped)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff", "no UTF-8"),
        (b"[", "not JSON"),
        (b'[{"a":1,"a":2}]', "$[0]: the key 'a' stands there more than once"),
        (b'[{"x":NaN}]', "$[0].x: NaN"),
        (b'[{"x":1e999}]', "$[0].x: NaN"),
        (b'[{"x":' + b"9" * 30 + b"}]", "$[0].x: an integer"),
        (b'[{"x":' + b"9" * 5000 + b"}]", "too many digits"),
        (b'[{"x":"\\ud800"}]', "$[0].x: half of a surrogate"),
        (b"[" * 100_000, "nested deeper"),
        (b'[{"x":' + b"[" * 80 + b"]" * 80 + b"}]", "nested deeper"),
        (b"3", "$: neither a list"),
        (b"{}", 'without "shopping_cart"'),
        (b"[3]", "$[0]: an item is an object"),
        (b'{"results":[]}', "without a login"),
        (b'{"results":[{"shopping_cart":[]},{"shopping_cart":[]}]}', "2 shopping carts"),
        (b'[{"name":"a\\nb","url":"file:a"}]', "$[0].name: control characters"),
        (b'[{"url":"file:a","size":-1}]', "$[0].size: -1 is no size"),
        (b'[{"url":"file:a","md5":"xyz"}]', "$[0].md5: 'xyz' is no md5"),
        (b'[{"url":"file:a","checksums":{"crc32":"1"}}]', "cannot be verified; known are adler32"),
        (b'[{"item_data":"{\'a\': (lambda: 1)()}"}]', "neither JSON nor a Python literal"),
        (b'[{"item_data":"{\'a\': ' + b"-" * 500_000 + b'1}"}]', "neither JSON nor a Python literal"),
    ],
)
def test_a_broken_basket_is_refused_with_the_place(data, said):
    """What cannot be understood in one way only is refused, and the message says where it stands."""
    assert said in refused(data)


def test_a_huge_basket_is_refused_unread():
    """Sixteen mebibytes are enough for any selection made by hand."""
    assert "the limit is" in refused(b" " * (MAX_BYTES + 1))


@given(st.binary(max_size=300) | json_values.map(lambda v: json.dumps(v).encode()))
def test_the_reader_raises_nothing_but_basket_errors(data):
    """Whatever the bytes: a basket that survives being written and read, or a BasketError."""
    try:
        basket = read_basket(data, "b", HERE)
    except BasketError:
        return
    assert decode(encode(basket), Basket) == basket


def test_ids_tell_nothing_of_credentials(tmp_path):
    """Two baskets that differ by a password only have the same ids."""
    items = [
        json.dumps([{"name": "a", "url": "https://example.org/a", "password": word}]).encode()
        for word in ("one", "two")
    ]
    first, second = (read_basket(data, "basket", tmp_path) for data in items)
    assert [one.id for one in first.items] == [one.id for one in second.items]
