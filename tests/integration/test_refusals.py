"""What cannot work is refused before a host is touched, and named."""

from integration import formula, ground

GROUND = "bare"

GATE = "Every host answers, and none is busy with an earlier run"
SILENT = (
    "does not answer: is the host on, and does salt-minion run there? To do the rest without it, add"
    """ pillar='{"pgha": {"without": ["test-db3"]}}'"""
)


def test_a_bad_pillar_is_refused_with_all_faults_at_once_and_no_host_is_touched(bare, pillar):
    pillar.put(
        {
            "patroni": {"ttl": 15, "loop_weight": 10},
            "datacenters": {"test-dcs-cluster": {"servers": {"test-dcs4": "198.51.100.14"}}},
            "clusters": {"test": {"vip": "198.51.100.40", "hosts": {"test-db3": "198.51.100.21"}}},
        }
    )
    try:
        run = formula.run(bare)
    finally:
        pillar.put({})
    assert run.code == 1
    assert "Traceback" not in run.text
    for fault in ("ttl", "loop_weight", "4 servers", "198.51.100.40", "198.51.100.21"):
        assert fault in run.text, f"{fault} is not named in {run.text}"
    assert ground.touched(bare) == []


def test_a_host_whose_minion_is_silent_is_named_and_no_host_is_touched(bare):
    silent = bare["test-db3"]
    silent.run(["systemctl", "stop", "salt-minion"])
    try:
        run = formula.run(bare)
    finally:
        silent.run(["systemctl", "start", "salt-minion"])
        bare.wait_ready()
    assert run.code == 1
    assert run.failed() == [f"{GATE}: test-db3: {SILENT}"], run.text
    assert ground.touched(bare) == []
