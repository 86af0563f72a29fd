"""What is said of a long step."""

from __future__ import annotations

import pytest

from darl.progress import Reporter


@pytest.mark.parametrize(("seconds", "told"), [(2.0, "0.5 a second, 4 s left"), (40.0, "1.5 a minute, 80 s left")])
def test_a_slow_step_has_a_rate_that_is_not_none(
    seconds: float, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("darl.progress.time.monotonic", lambda: now[0])
    with Reporter(every=1).bar("tune", 3, "steps") as advance:
        now[0] = seconds
        advance(1)
    assert told in "".join(capsys.readouterr())
