"""`regent pki`: what an operator types and reads. Needs no manager."""
import json
import os
import stat

import pki
import pytest


@pytest.fixture
def ca(scene):
    return pki.Pki(scene, name="prod")


def shown(ca):
    code, out = ca.regent("show", "--json")
    assert code == 0
    return json.JSONDecoder().raw_decode(out[out.index("{"):])[0]  # Warnings may follow.


def test_a_group_in_a_few_commands(ca):
    assert ca.regent("issue", "manager", "m1", "--host", "m1.example.org", "--host", "192.0.2.1,::1")[0] == 0
    _, out = ca.regent("issue", "manager", "m2")
    assert "manager m2, id 2" in out and "m2.key" in out and "crl.pem" in out
    ca.regent("issue", "manager", "m5", "--id", "5")
    ca.regent("issue", "operator", "operator")
    ca.regent("issue", "agent", "db1", "--days", "29")
    assert "id 6" in ca.regent("issue", "manager", "m6")[1]
    entries = {c["name"]: c for c in shown(ca)["certificates"]}
    assert [entries[n].get("id") for n in ("m1", "m2", "m5", "m6", "operator")] == [1, 2, 5, 6, None]
    assert entries["m1"]["hosts"] == "m1.example.org,192.0.2.1,::1"
    assert 395 <= entries["m1"]["days_left"] <= 397 and entries["m1"]["state"] == "current"
    assert entries["db1"]["state"] == "ends soon"
    _, table = ca.regent("show")
    assert "Regent CA prod" in table and "NAME" in table and "SERIAL" in table
    assert "db1 ends within 30 days: regent pki renew db1" in table
    assert "m1 ends" not in table
    for name in os.listdir(ca.dir):
        mode = stat.S_IMODE(os.stat(os.path.join(ca.dir, name)).st_mode)
        assert mode == (0o600 if name.endswith(".key") or name == "lock" else 0o644), name
    assert stat.S_IMODE(os.stat(ca.dir).st_mode) == 0o700


def test_renew_and_revoke(ca):
    ca.issue("manager", "m1", "--host", "m1.example.org")
    first = shown(ca)["certificates"][0]["serial"]
    code, out = ca.regent("renew", "m1")
    assert code == 0 and f"regent pki revoke {first}" in out
    old, new = shown(ca)["certificates"]
    assert (old["state"], new["state"], new["id"], new["hosts"]) == ("replaced", "current", 1, "m1.example.org")
    assert ca.regent("revoke", first)[0] == 0
    assert [c["state"] for c in shown(ca)["certificates"]] == ["revoked", "current"]
    code, out = ca.regent("revoke", "m1")
    assert code == 0 and "crl.pem" in out
    code, out = ca.regent("revoke", "m1", check=False)
    assert code == 0 and "revoked before" in out
    assert all(c["state"] == "revoked" and c["revoked_at"] for c in shown(ca)["certificates"])
    _, out = ca.regent("issue", "manager", "other", "--id", "1")
    assert "id 1 was manager m1's" in out


@pytest.mark.parametrize("arguments, code, text", [
    (["init"], 5, "never overwritten"),
    (["issue", "manager", "m1"], 5, "regent pki renew m1"),
    (["issue", "manager", "m9", "--id", "1"], 5, "would vote twice"),
    (["issue", "king", "x"], 2, "manager, agent or operator"),
    (["issue", "agent", "no/name"], 2, "is no name"),
    (["issue", "agent", "ca"], 2, "CA's own name"),
    (["issue", "agent", "x", "--id", "3"], 2, "only a manager has an id"),
    (["issue", "agent", "x", "--host", "not a host"], 2, "neither a host name nor an address"),
    (["issue", "agent", "x", "--days", "0"], 2, "--days wants a number"),
    (["issue", "manager"], 2, "wants ROLE NAME"),
    (["renew", "nobody"], 1, "has no current certificate"),
    (["revoke", "nobody"], 1, "no certificate in"),
    (["show", "--id", "3"], 2, "does not take --id"),
    (["shou"], 2, "followed by one of: init, issue, renew, revoke, show"),
])
def test_refusals(ca, arguments, code, text):
    ca.issue("manager", "m1")
    before = shown(ca)
    got, out = ca.regent(*arguments, check=False)
    assert (got, text in out) == (code, True), out
    assert len(shown(ca)["certificates"]) == len(before["certificates"])


def test_a_directory_without_a_ca(scene, ca):
    ca.dir = scene.path("nothing")
    for arguments in (["show"], ["issue", "agent", "x"], ["renew", "x"], ["revoke", "x"]):
        code, out = ca.regent(*arguments, check=False)
        assert code == 1 and "regent pki init" in out, out
