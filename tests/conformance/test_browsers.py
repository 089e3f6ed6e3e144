"""The browsers' court: that its comparing can fail, and that it runs at all."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import find, settings
from hypothesis.errors import NoSuchExample

ROOT = Path(__file__).parents[2]
NODE = ROOT / "conformance" / "browsers" / "node"


@pytest.fixture
def browsers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of `conformance.browsers`, which is not part of the package."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"conformance.browsers.{name}")


def needs_node_packages() -> None:
    if shutil.which("node") is None or not (NODE / "node_modules" / "webidl2").exists():
        pytest.skip("needs Node's packages: npm ci --prefix conformance/browsers/node")


# -- comparing ---------------------------------------------------------------------------------

OPEN = ["event", "a.open", {"type": "open", "state": {"readyState": 1}}]
CLOSE = ["event", "a.close", {"type": "close", "code": 1000}]
ERROR = ["event", "a.error", {"type": "error"}]


def heard(*frames: list[Any]) -> list[Any]:
    return ["heard", {"target": "/"}, list(frames)]


@pytest.mark.parametrize(
    ("ours", "theirs", "lines"),
    [
        ([OPEN, CLOSE], [OPEN, CLOSE], []),
        (
            [OPEN, CLOSE],
            [OPEN, ["event", "a.close", {"type": "close", "code": 1006}]],
            ["event a.close .code: 1000, theirs 1006"],
        ),
        ([OPEN, CLOSE], [OPEN, ERROR, CLOSE], ["event a.error: only theirs"]),
        ([OPEN, ERROR, CLOSE], [OPEN, CLOSE], ["event a.error: only ours"]),
        ([OPEN], [["event", "a.open", {"type": "open", "state": {"readyState": True}}]],
         ["event a.open .state.readyState: 1, theirs true"]),
        ([["call", "a.send", "is", None]], [["call", "a.send", "throws", "TypeError"]],
         ['call a.send : ["is", null], theirs ["throws", "TypeError"]']),
        ([heard(["text", "61"])], [heard(["text", "62"])], ['heard text : ["61"], theirs ["62"]']),
        ([heard(["text", "61"])], [heard()], ["heard text: only ours"]),
        ([["timeout"]], [], ["timeout: only ours"]),
        ([["get", "e.data", "is", 1e21]], [["get", "e.data", "is", 10**21]], []),
        ([["get", "e.data", "is", -37915666243923488]],
         [["get", "e.data", "is", -37915666243923490]], []),
        ([["get", "e.data", "is", 2**53 - 1]], [["get", "e.data", "is", 2**53 - 2]],
         ['get e.data : ["is", 9007199254740991], theirs ["is", 9007199254740990]']),
        # a pong may overtake a message, but not another pong
        ([heard(["pong", ""], ["text", "61"])], [heard(["text", "61"], ["pong", ""])], []),
        ([heard(["pong", "01"], ["pong", "02"])], [heard(["pong", "02"], ["pong", "01"])],
         ['heard pong : ["01"], theirs ["02"]', 'heard pong : ["02"], theirs ["01"]']),
    ],
)  # fmt: skip
def test_every_difference_is_a_line(
    browsers: Any, ours: list[Any], theirs: list[Any], lines: list[str]
) -> None:
    assert browsers("compare").differences(ours, theirs) == lines


def test_events_in_another_order_differ(browsers: Any) -> None:
    assert browsers("compare").differences([OPEN, ERROR], [ERROR, OPEN])


def test_an_explanation_is_for_its_judge_its_scenarios_and_whole_lines(browsers: Any) -> None:
    compare = browsers("compare")
    explanation = compare.Explanation(
        "x", "gap", ["chromium"], ["closing/*"], [r"event a\.error: only ours"], "why"
    )
    traces = ([OPEN, ERROR], [OPEN])
    judged = compare.judge("chromium", "closing/reset", *traces, [explanation])
    assert (judged.word, judged.explanations) == ("explained", ["x"])
    assert compare.judge("firefox", "closing/reset", *traces, [explanation]).word == "different"
    assert compare.judge("chromium", "data/reset", *traces, [explanation]).word == "different"
    more = compare.judge("chromium", "closing/reset", [OPEN, ERROR, CLOSE], [OPEN], [explanation])
    assert (more.word, more.unexplained) == ("different", ["event a.close: only ours"])


def test_an_explanation_of_random_scenarios_has_lines_of_its_own(browsers: Any) -> None:
    explanation = browsers("compare").Explanation(
        "x", "gap", ["firefox"], ["*"], ["written"], "why", at_random=["random"]
    )
    assert explanation.explains("firefox", "data/one", "written")
    assert not explanation.explains("firefox", "random/1-2", "written")
    assert explanation.explains("firefox", "random/1-2", "random")
    assert not explanation.explains("firefox", "data/one", "random")


def test_what_an_explanation_does_not_need_is_told(browsers: Any) -> None:
    explanation = browsers("compare").Explanation(
        "x", "gap", ["firefox"], ["data/*", "frames/*"], ["one", "two"], "why"
    )
    assert explanation.explains("firefox", "data/a", "one")
    assert explanation.of_no_use == ["frames/*", "two"]
    assert browsers("runner")._stale([explanation]) == [
        "x explains nothing of firefox",
        "x explains nothing by 'frames/*'",
        "x explains nothing by 'two'",
    ]
    explanation.sometimes = True
    assert browsers("runner")._stale([explanation]) == []


def test_where_the_browsers_agree_no_explanation_may_say_that_they_differ(browsers: Any) -> None:
    compare = browsers("compare")
    both = compare.Explanation(
        "x", "browsers-differ", ["chromium", "firefox"], ["*"], [r"event .*"], "why"
    )

    def contradictions(*theirs: list[Any]) -> list[str]:
        verdicts = {
            name: compare.judge(name, "data/a", [OPEN, ERROR], trace, [both])
            for name, trace in zip(("chromium", "firefox"), theirs, strict=False)
        }
        return list(compare.contradictions("data/a", verdicts))

    said = "data/a: all browsers agree on `event a.error: only ours`, which x explains for "
    assert contradictions([OPEN], [OPEN]) == [f"{said}chromium", f"{said}firefox"]
    assert contradictions([OPEN], [OPEN, ERROR]) == []
    assert contradictions([OPEN]) == []
    both.kind = "python"
    assert contradictions([OPEN], [OPEN]) == []


def test_every_explanation_has_a_known_kind_and_reasons(browsers: Any) -> None:
    compare = browsers("compare")
    explanations = compare.load()
    assert len({found.id for found in explanations}) == len(explanations)
    assert all(found.kind in compare.KINDS and found.text for found in explanations)
    third = [found for found in explanations if found.kind == "third-voice"]
    assert all(found.what and found.standard and found.spec for found in third)


def test_a_difference_of_the_third_voice_must_be_explained_too(
    browsers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = browsers("runner")
    scenarios = [{"name": name, "area": "data"} for name in ("a", "wrong")]
    traces = {"webapi": [[OPEN], [OPEN]], "undici": [[OPEN], [OPEN, ERROR]]}
    verdicts, again = runner.run_again(Clock({"wrong": 99}), ["undici"], scenarios, traces, [])
    assert again == ["wrong"]
    assert runner.show(verdicts, ["undici"]) == ["wrong"]
    assert capsys.readouterr().out == "wrong\n    undici: timeout: only theirs\n"


# -- scenarios ---------------------------------------------------------------------------------


def test_there_are_scenarios_of_all_areas(browsers: Any) -> None:
    scenarios = browsers("scenarios").written()
    assert len(scenarios) >= 1300
    areas = {scenario["area"] for scenario in scenarios}
    assert areas == {
        *("construction", "handshake", "states", "data", "frames", "closing", "buffered"),
        *("listeners", "events", "binary", "aborting"),
    }
    assert json.loads(json.dumps(scenarios)) == scenarios


def test_random_scenarios_are_the_same_for_a_seed(browsers: Any) -> None:
    random_scenarios = browsers("random_scenarios")
    some = random_scenarios.generate(30, 7)
    assert some == random_scenarios.generate(30, 7)
    assert len(some) == 30
    assert some != random_scenarios.generate(30, 8)


@pytest.mark.parametrize("word", ["sync", "ack"])
def test_no_text_of_a_random_scenario_is_taken_for_an_acknowledgement(
    browsers: Any, word: str
) -> None:
    with pytest.raises(NoSuchExample):
        find(
            browsers("random_scenarios").texts,
            lambda text: text == word,
            settings=settings(max_examples=3000, database=None),
        )


def test_a_disagreement_is_made_small(browsers: Any) -> None:
    scenario = {
        "script": [{"get": "a.x"}, {"call": "a.send", "args": [1, [2]]}, {"get": "a.y"}],
        "server": {"": [["accept"], ["serve"]]},
    }

    def disagrees(smaller: Any) -> bool:
        return any("call" in step for step in smaller["script"])

    assert browsers("random_scenarios").shrink(scenario, disagrees) == {
        "script": [{"call": "a.send", "args": [1]}],
        "server": {"": []},
    }


# -- judges ------------------------------------------------------------------------------------


def run(browsers: Any, judge: str, *names: str) -> list[Any]:
    scenarios = [found for found in browsers("scenarios").written() if found["name"] in names]
    assert len(scenarios) == len(names)
    with browsers("runner").court([judge]) as hub:
        return list(hub.run(judge, scenarios, 60))


def test_webapi_writes_a_trace(browsers: Any) -> None:
    [trace] = run(browsers, "webapi", "states/close-reason-when-open")
    kinds = [entry[:2] for entry in trace[:-1]]
    assert kinds == [
        ["new", "WebSocket"],
        ["event", "a.open"],
        ["call", "a.close"],
        ["state", "a"],
        ["call", "a.close"],
        ["event", "a.close"],
        ["final", "a"],
    ]
    close = trace[5][2]
    assert (close["code"], close["reason"], close["wasClean"]) == (4999, "r\u00e9ason", True)
    assert close["state"]["url"] == "{ws}/"
    assert trace[-1][2] == [["close", 4999, "r\u00e9ason"]]


@pytest.mark.parametrize("name", ["chromium", "firefox"])
@pytest.mark.timeout(300)
def test_a_browser_agrees(browsers: Any, name: str) -> None:
    judge = browsers("judges").JUDGES[name]
    if judge.program() is None:
        pytest.skip(f"needs {judge.label}: {judge.install}")
    names = ("states/close-reason-when-open", "data/text-lone-both", "listeners/once")
    theirs, ours = run(browsers, name, *names), run(browsers, "webapi", *names)
    for at in range(len(names)):
        assert browsers("compare").differences(ours[at], theirs[at]) == []


class Clock:
    """A hub whose judges agree from their given run of a scenario on."""

    def __init__(self, agrees_from: dict[str, int]) -> None:
        self.agrees_from = agrees_from
        self.asked: list[list[str]] = []
        self.runs: dict[str, int] = {}

    def run(self, judge: str, scenarios: list[Any]) -> list[Any]:
        names = [scenario["name"] for scenario in scenarios]
        if judge == "webapi":
            return [[OPEN] for _ in names]
        self.asked.append(names)
        for name in names:
            self.runs[name] = self.runs.get(name, 0) + 1
        return [
            [OPEN] if self.runs[name] >= self.agrees_from.get(name, 1) else [OPEN, ["timeout"]]
            for name in names
        ]


def test_what_disagrees_by_chance_is_run_again_and_what_does_always_is_a_fault(
    browsers: Any,
) -> None:
    runner = browsers("runner")
    scenarios = [{"name": name, "area": "data"} for name in ("a", "late", "later", "wrong")]
    hub = Clock({"late": 2, "later": 3, "wrong": 99})
    names = ["chromium"]
    traces, _ = runner.run_all(hub, [*names, "webapi"], scenarios)
    verdicts, again = runner.run_again(hub, names, scenarios, traces, [])
    assert hub.asked[1:] == [["late", "later", "wrong"], ["later"], ["wrong"]]
    assert again == ["late", "later", "wrong"]
    words = {name: of["chromium"].word for name, of in verdicts.items()}
    assert words == {"a": "same", "late": "same", "later": "same", "wrong": "different"}


def test_a_judge_that_dies_is_started_anew_once(
    browsers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    module = browsers("hub")
    with module.Hub() as hub:
        hub.ended["chromium"] = lambda: 7
        with pytest.raises(module.JudgeGone, match="exit status 7"):
            hub.run("chromium", [{"name": "a"}], 20)
        revived: list[str] = []

        def revive(name: str) -> None:
            revived.append(name)
            if len(revived) == 1:
                hub.take_traces(name, [[OPEN]])

        hub.revive = revive
        assert hub.run("chromium", [{"name": "a"}], 20) == [[OPEN]]
        with pytest.raises(module.JudgeGone):
            hub.run("chromium", [{"name": "a"}], 20)
        assert revived == ["chromium", "chromium"]
    assert "it is started anew" in capsys.readouterr().out


def test_a_judge_that_never_speaks_is_given_up(
    browsers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = browsers("hub")
    monkeypatch.setattr(module, "STARTING", 0.1)
    with module.Hub() as hub, pytest.raises(module.JudgeGone, match="asked for nothing"):
        hub.run("chromium", [{"name": "a"}], 20)


def test_a_judge_that_is_missing_is_named_with_what_installs_it(
    browsers: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert browsers("runner").main(["--judges", "chromium,firefox"]) == 2
    said = capsys.readouterr()
    assert "Chromium: not run: install it with `apt-get install chromium`" in said.out
    assert "Firefox: not run: install it with `apt-get install firefox-esr`" in said.out


@pytest.fixture
def only_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search path with Node alone, as on a machine without browsers: its folder."""
    needs_node_packages()
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "node").symlink_to(shutil.which("node") or "")
    monkeypatch.setenv("PATH", str(folder))
    return folder


ONE = ("--only", "states/close-reason-when-open")


@pytest.mark.timeout(300)
def test_a_run_without_the_browsers_that_it_asks_for_is_not_green(
    browsers: Any, only_node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert browsers("runner").main([*ONE]) == 2
    said = capsys.readouterr().out.splitlines()
    assert said[-6:] == [
        "1 written scenarios, 0 with a difference that nothing explains",
        "0 passed, 0 failed, 1 that no browser judged",
        "not all that was asked for ran:",
        "  Chromium: not run: install it with `apt-get install chromium`",
        "  Firefox: not run: install it with `apt-get install firefox-esr`",
        "(--missing-ok lets that pass)",
    ]
    assert "no random scenarios" in said
    assert browsers("runner").main([*ONE, "--missing-ok"]) == 0


@pytest.mark.timeout(300)
def test_what_undici_alone_judged_has_not_passed(
    browsers: Any, only_node: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert browsers("runner").main([*ONE, "--judges", "undici"]) == 2
    assert "0 passed, 0 failed, 1 that no browser judged\n" in capsys.readouterr().out


@pytest.mark.timeout(300)
def test_an_apt_that_fails_leaves_no_green_run(
    browsers: Any,
    only_node: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    apt = only_node / "apt-get"
    apt.write_text("#!/bin/sh\necho no network\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setattr(browsers("judges").os, "geteuid", lambda: 0)
    assert browsers("runner").main([*ONE, "--apt"]) == 2
    assert "no network" in capsys.readouterr().err


@pytest.mark.timeout(300)
def test_an_idl_that_cannot_be_checked_is_not_green(
    browsers: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    judge = browsers("judges").JUDGES["firefox"]
    if judge.program() is None or shutil.which("node") is None:
        pytest.skip(f"needs Node and {judge.label}: {judge.install}")
    monkeypatch.setattr(browsers("judges"), "NODE", tmp_path)  # no packages, nothing to install
    asked = [*ONE, "--random", "0", "--judges", "firefox,undici"]
    assert browsers("runner").main(asked) == 2
    said = capsys.readouterr().out
    assert "IDL: not checked\n" in said
    assert "1 passed, 0 failed\n" in said
    assert "  undici and the IDL: not run: " in said
    assert browsers("runner").main([*asked, "--missing-ok"]) == 0


def test_an_idl_check_of_nothing_is_a_fault(browsers: Any) -> None:
    result = browsers("idl").Result
    assert result({}, [], {}).faults == ["IDL: nothing was checked"]
    assert result({"Event": 2}, ["row"], {}).faults == ["row"]


# -- the IDL, and the report -------------------------------------------------------------------


def test_our_interfaces_are_the_standards(browsers: Any) -> None:
    needs_node_packages()
    result = browsers("idl").check()
    assert result.unexplained == []
    assert result.checked.keys() == browsers("idl").INSTANCES.keys()


def test_the_idl_check_can_fail(browsers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_node_packages()
    import webapi

    class Event(webapi.Event):
        NONE = 7  # type: ignore[misc]
        surplus = 1
        bubbles = None  # type: ignore[assignment]

        def __init__(self, type: object = "x", init: object = None) -> None:
            super().__init__(type, init)

        def composedPath(self) -> list[Any]:  # type: ignore[override]
            return []

    monkeypatch.setattr(webapi, "Event", Event)
    monkeypatch.setitem(browsers("idl").INSTANCES, "Event", Event)
    rows = [row for row in browsers("idl").check().unexplained if row.startswith("Event")]
    assert rows == [
        "Event(): its arguments are (type, init), not (type, eventInitDict)",
        "EventInit.bubbles: None by default, not False",
        "Event.composedPath(): refuses surplus arguments",
        "Event.NONE: 7, not 0",
        "Event.NONE of an instance: 7, not 0",
        "Event.bubbles: can be set",
        "Event.surplus: not in the IDL",
    ] or set(rows) >= {
        "Event.NONE: 7, not 0",
        "Event.composedPath(): refuses surplus arguments",
        "Event.surplus: not in the IDL",
    }


def test_the_report_is_made_from_the_results(browsers: Any) -> None:
    joined = importlib.import_module("conformance.report")
    results = json.loads(joined.BROWSERS.read_text())
    assert joined.REPORT.read_text() == joined.render()
    assert results["written"]["different"] == {}
    third = [found for found in results["written"]["explanations"] if "what" in found]
    assert len(third) > 40
    for found in third:
        row = f"| {found['what']} | {found['scenarios']} | {found['text']} | {found['standard']} ("
        assert row in joined.REPORT.read_text()
    assert results["idl"]["unexplained"] == []
