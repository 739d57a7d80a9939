"""What pip says of packages that cannot be had, as a sentence somebody reads."""

from __future__ import annotations

from runner.pip_output import reason

OUTPUT = """\
raas: installing
Looking in indexes: http://127.0.0.1:4711/simple/
ERROR: Ignored the following yanked versions: 1.25, 1.25.1
ERROR: Could not find a version that satisfies the requirement urllib3==0.1 (from versions: {versions})
ERROR: No matching distribution found for urllib3==0.1
"""


def test_a_list_of_all_versions_does_not_hide_what_is_wrong() -> None:
    versions = ", ".join(f"1.{number}" for number in range(300))
    assert reason(OUTPUT.format(versions=versions)) == (
        "Could not find a version that satisfies the requirement urllib3==0.1 (from versions: "
        "…, 1.295, 1.296, 1.297, 1.298, 1.299) No matching distribution found for urllib3==0.1"
    )
    assert "(from versions: 1.0, 1.1)" in reason(OUTPUT.format(versions="1.0, 1.1"))
    assert "(from versions: none)" in reason(OUTPUT.format(versions="none"))


def test_our_own_places_are_not_named() -> None:
    told = (
        "ERROR: tomli==2.0.1 from http://127.0.0.1:4711/file/7 (from -r /repo/requirements.txt (line 1)): no"
    )
    assert reason(told) == "tomli==2.0.1 from the package index: no"
