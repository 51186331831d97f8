"""The experiments run from the command line, keep their contracts, and draw their plots."""

import importlib.util
import json
from pathlib import Path

import pytest

from protocol.errors import BadInput
from simulations import catalogue, sweep
from simulations.command_line import main
from simulations.experiments import connect

SMALL = {
    "flood": ["--nodes", "3", "--seconds", "1.2", "--rate", "300", "--kinds", "unknown_keys"],
    "follow": ["--nodes", "4", "--followers", "3", "--minutes", "1", "--links", "1"],
    "lookup": ["--nodes", "12", "--lookups", "4", "--dead", "0", "0.2", "--stock"],
    "slow": ["--nodes", "16", "--lookups", "5", "--slow", "0.2"],
    "connect": ["--nodes", "8", "--pairs", "3"],
    "inbound": ["--nodes", "8", "--networks", "6", "--rate", "4", "--seconds", "2"],
    "lasting": ["--hours", "0.02", "--pairs", "1", "--samples", "1", "--each-s", "30"],
    "line": ["--mbps", "10", "--seconds", "1", "--flows", "2"],
    "paths": ["--scenarios", "router-forgets", "--mb-s", "0.1"],
    "swarm": ["--nodes", "6", "--getters", "4", "--megabytes", "0.3"],
    "transfer": ["--nodes", "6", "--getters", "2", "--megabytes", "0.2"],
}
CONTRACT = {
    "inbound": {"calls", "lost", "p50_s", "p95_s", "attempts_max", "links_max", "why_lost"},
    "flood": {"seed", "nodes", "rate", "empty", "floods", "wall_s"},
    "follow": {"followers", "bytes", "churn", "churn_times", "legs", "log_hash"},
    "lookup": {"seed", "nodes", "log_hash", "wall_s", "packets_per_s", "results"},
    "slow": {"seed", "nodes", "log_hash", "wall_s", "points"},
    "connect": {
        *("mix", "pairs", "success", "linked_of_udp", "direct_of_punchable", "relayed_of_udp"),
        *("port_restricted_x_symmetric", "uncached", "cached", "p50_s", "p95_s", "stages_p50_s"),
        *("failures", "by_nat"),
    },
    "lasting": {"events", "met", "outage_max_s", "upkeep_bytes_s", "growth", "log_hash"},
    "line": {"share", "shares", "jain", "worst_delay_ms", "steady_delay_ms", "log_hash"},
    "paths": {"seed", "log_hash", "mb_s", "rtt_ms", "met", "of", "scenarios"},
    "swarm": {"getters", "copies", "last_s", "fluid_bound_s", "last_over_bound"},
    "transfer": {"getters", "p50_s", "last_s", "ideal_s"},
}


@pytest.mark.parametrize("name", SMALL)
def test_an_experiment_prints_its_contract_and_writes_its_plot(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", name, *SMALL[name], "--out", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert CONTRACT[name] <= set(result)
    assert json.loads((tmp_path / f"{name}.json").read_text()) == result
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "lookup", "--out", ""], "the word behind --out is empty; give a value there"),
        (["run", "lookup", "--out= "], "the value of --out is empty; give one"),
        (["run", " "], "the word behind run is empty"),
        (["sweep", ""], "the word behind sweep is empty"),
        ([""], "the word behind modswarm simulate is empty"),
    ],
)
def test_no_word_is_empty(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_the_same_seed_gives_the_same_history(capsys: pytest.CaptureFixture[str]) -> None:
    hashes = []
    for seed in ("1", "1", "2"):
        arguments = ["run", "connect", "--nodes", "8", "--pairs", "2", "--seed", seed, "--json"]
        assert main(arguments) == 0
        hashes.append(json.loads(capsys.readouterr().out.splitlines()[-1])["log_hash"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_without_out_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "connect", "--nodes", "6", "--pairs", "1"]) == 0
    assert "seed 1, history" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_list_names_every_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(catalogue.all_experiments())
    assert all(len(line.split()) > 3 for line in lines)


def test_a_failing_run_says_how_to_repeat_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "connect", "--mix", "nonsense=1", "--seed", "9"]) == 1
    said = capsys.readouterr().err
    assert "no NAT box is called 'nonsense'" in said
    assert "modswarm simulate run connect --mix nonsense=1 --seed 9" in said


def test_a_mix_is_checked() -> None:
    assert connect.parse_mix(("public=0.5", "symmetric=1")) == {"public": 0.5, "symmetric": 1.0}
    with pytest.raises(BadInput):
        connect.parse_mix(("public",))
    for name, shares in connect.MIXES.items():
        assert sum(connect.parse_mix((name,)).values()) == pytest.approx(1.0), name
        assert len(connect.parse_mix(shares)) == len(shares)


SPEC = """
experiment = "transfer"
figures = ["p50_s"]
x = "getters"
[fixed]
megabytes = 0.1
nodes = 4
[vary]
getters = [1, 2]
seed = [1, 2]
"""


def test_a_sweep_resumes_where_it_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec_path = tmp_path / "spec.toml"
    spec_path.write_text(SPEC)
    spec = sweep.load(spec_path)
    done: list[sweep.Run] = []

    def perform(name: str, run: sweep.Run) -> sweep.Run:
        if len(done) == 2:
            raise BadInput("cut short")
        done.append(run)
        return {"parameters": run, "result": {"p50_s": run["getters"] + run["seed"] / 10}}

    monkeypatch.setattr(sweep, "perform", perform)

    def do() -> list[sweep.Run]:
        return sweep.sweep(
            spec, tmp_path / "out", workers=1, ray_address=None, on_done=lambda: None
        )

    with pytest.raises(BadInput):
        do()
    results = tmp_path / "out" / "results.jsonl"
    results.write_text(results.read_text() + '{"parameters": {"get')
    before = list(done)
    done.clear()
    done.append({})
    monkeypatch.setattr(
        sweep,
        "perform",
        lambda name, run: (
            {"parameters": run, "result": {"p50_s": run["getters"] + run["seed"] / 10}}
            if run not in before
            else pytest.fail("a finished run was done again")
        ),
    )
    merged = do()
    assert [one["parameters"] for one in merged] == list(spec.runs)
    points = sweep.series(spec, merged, "p50_s")["p50_s"]
    assert [(x, round(mean, 3)) for x, mean, _ in points] == [(1, 1.15), (2, 2.15)]
    assert all(half > 0 for *_, half in points)
    assert sweep.plot(spec, merged, tmp_path / "out")[0].read_bytes().startswith(b"\x89PNG")


RAY_SPEC = """
experiment = "lookup"
figures = ["p50_s"]

[fixed]
nodes = 8
lookups = 4
dead = [0]

[vary]
seed = [1, 2]
"""


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_a_sweep_on_ray_gives_what_a_sweep_on_cores_gives(tmp_path: Path) -> None:
    spec_path = tmp_path / "spec.toml"
    spec_path.write_text(RAY_SPEC)
    spec = sweep.load(spec_path)
    hashes = []
    for folder, address in (("cores", None), ("ray", "local")):
        results = sweep.sweep(
            spec, tmp_path / folder, workers=2, ray_address=address, on_done=lambda: None
        )
        hashes.append([one["result"]["log_hash"] for one in results])
    assert hashes[0] == hashes[1]
    assert hashes[0][0] != hashes[0][1]


def test_a_sweep_runs_processes(tmp_path: Path) -> None:
    one = sweep.perform("transfer", {"getters": 1, "megabytes": 0.1, "nodes": 4, "seed": 1})
    assert one["result"]["getters"] == 1
    with pytest.raises(BadInput, match=r"Repeat it with: modswarm simulate run connect"):
        sweep.perform("connect", {"mix": ["nonsense=1"]})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("getters = [1, 2]", "geters = [1]"), "no parameter geters"),
        (('"transfer"', '"teleport"'), "no experiment is called 'teleport'"),
        (("seed = [1, 2]", "seed = 1"), "needs a list"),
        (('x = "getters"', 'z = "getters"'), "unknown entries z"),
        (("[vary]", "[vary"), "cannot be read"),
    ],
)
def test_a_spec_is_checked(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    path = tmp_path / "spec.toml"
    path.write_text(SPEC.replace(*change))
    with pytest.raises(BadInput, match=complaint):
        sweep.load(path)


def test_many_pairs_are_spread_over_worlds_of_their_own() -> None:
    said: list[str] = []
    parameters = connect.Parameters(nodes=6, pairs=3, pairs_in_world=2, mix=("public=1",))
    report = connect.run(parameters, said.append)
    assert (report.data["worlds"], report.data["pairs"], report.data["success"]) == (2, 3, 1.0)
    assert said[-1] == "2 of 2 worlds: 3 of 3 pairs linked"
    assert connect.run(parameters, said.append).log_hash == report.log_hash
