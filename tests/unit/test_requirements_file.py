"""requirements.txt is read strictly: what names a package passes, what names a place does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.requirements import RequirementsError, normalised, parse

SHA = "0" * 64

EVIL = "https://evil.example/simple"
"""An index that a repository would like to choose; nobody has that name."""


def _texts(content: str) -> list[str]:
    return [item.text for item in parse(content.encode())]


def test_names_versions_extras_markers_and_hashes() -> None:
    content = f"""\
# what the policy needs
NumPy >= 1.26, <3    # arrays
stable_baselines3[Extra] == 2.3.*
tomli>=1; python_version < "3.11"

torch==2.2.0 \\
    --hash=sha256:{SHA}
"""
    assert _texts(content) == [
        "numpy<3,>=1.26",
        "stable-baselines3[extra]==2.3.*",
        'tomli>=1; python_version < "3.11"',
        f"torch==2.2.0 --hash=sha256:{SHA}",
    ]
    assert [item.line for item in parse(content.encode())] == [2, 3, 4, 6]


def test_ways_of_writing_the_same_are_the_same() -> None:
    first = parse(b"numpy>=1,<3\r\nScikit_Learn\r\n")
    second = parse(b"\xef\xbb\xbfscikit.learn # again\nnumpy <3, >=1\nscikit-learn\n")
    assert normalised(first) == normalised(second) == "numpy<3,>=1\nscikit-learn\n"


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("-r other.txt", "write their lines into this one"),
        ("-rother.txt", "write their lines into this one"),
        ("--requirement=other.txt", "write their lines into this one"),
        ("-c constraints.txt", "write the versions into this file"),
        ("-e .", "put the code into the repository"),
        (f"--index-url {EVIL}", "names the package index"),
        (f"-i {EVIL}", "names the package index"),
        (f"--extra-index-url={EVIL}", "names the package index"),
        ("--find-links /etc", "names the package index"),
        ("numpy --find-links=/etc", "names the package index"),
        ("--no-binary :all:", "whether packages may be built"),
        ("--trusted-host evil.example", "names the package index"),
        ("--pre", "name the pre-release itself"),
        ("numpy --global-option=x", "leave the option out"),
        ("https://evil.example/x-1.0-py3-none-any.whl", "is a URL"),
        ("x @ https://evil.example/x.whl", "is a URL"),
        ("x@file:///etc/passwd", "is a URL"),
        ("git+https://github.com/ada/spoon", "is a URL"),
        ("./local", "is a path"),
        ("../up", "is a path"),
        ("/etc/passwd", "is a path"),
        ("spoon-1.0-py3-none-any.whl", "is a path"),
        ("numpy=1.26", "is not a package with a version"),
        ("numpy 1.26", "is not a package with a version"),
        ("${HOME}", "is not a package with a version"),
        ("numpy --hash=md5:00", "sha256"),
        ("numpy --hash=sha256:00", "sha256"),
        ("\\", ""),
    ],
)
def test_what_names_a_place_is_refused_with_its_line(line: str, word: str) -> None:
    content = f"scipy\n# a remark\n{line}\n".encode()
    if not word:
        assert _texts(content.decode()) == ["scipy"]
        return
    with pytest.raises(RequirementsError, match=word) as caught:
        parse(content)
    assert caught.value.line == 3


def test_bounds() -> None:
    with pytest.raises(RequirementsError, match="64 kB"):
        parse(b"#" * 70_000)
    with pytest.raises(RequirementsError, match="more than 200") as caught:
        parse("".join(f"p{n}\n" for n in range(201)).encode())
    assert caught.value.line == 201
    with pytest.raises(RequirementsError, match="UTF-8") as caught:
        parse(b"numpy\n\xff\n")
    assert caught.value.line == 2


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_whatever_is_in_it_what_pip_gets_names_no_place(content: str | bytes) -> None:
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    try:
        found = parse(raw)
    except RequirementsError:
        return
    for item in found:
        assert "://" not in item.text.split(";")[0]
        assert not item.text.startswith(("-", ".", "/"))
        assert "\n" not in item.text
        assert parse(item.text.encode())[0].text == item.text
