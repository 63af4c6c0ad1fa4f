"""Spending limits at the command line: flags, variables, the settings file, and what is printed."""

from __future__ import annotations

import argparse
import json

import pytest

from luma_async import Budget, ConfigurationError, InvalidInput
from luma_async.cli import config
from luma_async.cli.budget import budgets_of
from luma_async.values.errors import LumaError

PRICES = 'max_amount = "1/day"\n[prices]\ndefault = "0.15"\n"10s" = 0.45\n'


@pytest.fixture
def settings_file(tmp_path, monkeypatch):
    """A function that writes the settings file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / "config" / "luma-async"
    folder.mkdir(parents=True)
    config._read.cache_clear()
    yield (folder / "config.toml").write_text
    config._read.cache_clear()


def limits(**typed):
    return budgets_of(argparse.Namespace(**typed))


def test_limits_of_flag():
    """A flag has one limit or several, each for a time or in all."""
    assert limits() == limits(max_purchases=None) == []
    assert limits(max_purchases="20") == [Budget(purchases=20)]
    assert limits(max_purchases="20/hour, 100/day,500/month") == [
        Budget(purchases=20, per="hour"),
        Budget(purchases=100, per="day"),
        Budget(purchases=500, per="month"),
    ]


@pytest.mark.parametrize("text", ["many", "20/week", "/day", "1.5", "20/", "-1", "20/session"])
def test_wrong_limit_refused(text, monkeypatch):
    """A limit that cannot be read is refused by the name of the flag or of the variable."""
    with pytest.raises(InvalidInput, match="--max-purchases"):
        limits(max_purchases=text)
    monkeypatch.setenv("LUMA_MAX_PURCHASES", text)
    with pytest.raises(ConfigurationError, match="LUMA_MAX_PURCHASES"):
        limits()


def test_limit_precedence(settings_file, monkeypatch):
    """A flag comes before the variable, and that before the settings file; each setting by itself."""
    settings_file(f'max_purchases = "3/day"\n{PRICES}')
    prices = Budget(price={"default": "0.15", "10s": 0.45})
    amount = Budget(amount=1, per="day")
    assert limits() == [Budget(purchases=3, per="day"), amount, prices]
    monkeypatch.setenv("LUMA_MAX_PURCHASES", "2")
    assert limits() == [Budget(purchases=2), amount, prices]
    assert limits(max_purchases="1/hour") == [Budget(purchases=1, per="hour"), amount, prices]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("max_purchases = 3\n", "max_purchases must be a quoted string"),
        ('max_amount = "3"\n', "needs prices"),
        ("prices = 3\n", r"\[prices\]: must be a table"),
        ("[prices]\ndefault = true\n", r"\[prices\]: the row 'default'"),
        ("[price]\ndefault = 1\n", "unknown setting price"),
    ],
)
def test_wrong_settings_refused(settings_file, text, what):
    """A mistake in the settings file is refused with its place."""
    settings_file(text)
    with pytest.raises(LumaError, match=what):
        limits()


async def test_generate_above_limit(here, command, gateway):
    """The purchase above the limit ends with exit code 7 and says when there is room; a known key is not refused."""
    for file in ("first.mp4", "again.mp4"):
        code, _, _ = await command("generate", "cat", "--key", "cat", "-o", file, "--max-purchases", "1/day")
        assert code == 0
    code, out, err = await command("generate", "dog", "--max-purchases", "1/day")
    assert (code, out) == (7, "")
    assert "1 purchase per day has no room" in err
    assert "There is room for it at " in err
    code, _, err = await command("generate", "dog", "--max-purchases", "1")
    assert code == 7
    assert "raise --max-purchases" in err
    assert len(gateway.charges) == 1


async def test_account_shows_rest(here, command, settings_file):
    """`account` prints what is left of each budget, and with --json as one document."""
    settings_file(PRICES)
    await command("generate", "cat", "--duration", "10s")
    code, out, _ = await command("account", "--max-purchases", "3/hour")
    assert code == 0
    assert "budget of 3 purchases per hour: 1 bought, 2 left" in out
    assert "budget of an amount of 1 per day: 1 bought for 0.45, 0.55 left" in out
    _, out, _ = await command("account", "--json")
    day = json.loads(out)["budgets"][0]
    assert (day["per"], day["spent_purchases"], day["amount_left"], day["purchases_left"]) == ("day", 1, "0.55", None)
    _, out, _ = await command("status", "--json")
    assert json.loads(out)["price"] == "0.45"


async def test_batch_above_limit(here, command, gateway, settings_file):
    """A dry run prints the sum and whether the budgets allow it; the batch stops there, and goes on with room."""
    settings_file(PRICES)
    (here / "prompts.txt").write_text("cat\ndog\nbird\n")
    batch = ("batch", "prompts.txt", "--out", "out")
    code, _, err = await command(*batch, "--dry-run", "--max-purchases", "2/day")
    assert code == 0
    assert "would submit 3 for 0.45" in err
    assert "does not allow all of it: 2 purchases per day: 0 bought, 2 left" in err
    assert "allows all of it: an amount of 1 per day: 0 bought for 0, 1 left" in err
    code, _, err = await command(*batch, "--max-purchases", "2/day")
    assert code == 7
    assert "wait until there is room in the budget, or raise it, and run the same command again" in err
    assert len(gateway.charges) == 2
    code, _, err = await command(*batch, "--max-purchases", "3/day")
    assert code == 0
    assert sorted(charge.prompt for charge in gateway.charges) == ["bird", "cat", "dog"]
