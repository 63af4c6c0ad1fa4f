"""The spending limits of a command: from flags, the environment or the settings file, with the prices of that file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, cast

from luma_async import Budget, BudgetStatus
from luma_async._http.address import unquoted
from luma_async.cli.config import configured, configured_prices
from luma_async.values.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    import argparse

_LIMITS: dict[str, Literal["purchases", "amount"]] = {"max_purchases": "purchases", "max_amount": "amount"}
_PERIODS = ("hour", "day", "month")


def add_budget(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    """Add the flags that limit what is bought; if `inherited`, the parent command's values are the defaults."""
    import argparse  # noqa: PLC0415 - only its constant

    default = argparse.SUPPRESS if inherited else None
    parser.add_argument(
        "--max-purchases",
        metavar="N[/PERIOD]",
        default=default,
        help="buy at most so many, counted over all that the journal records: 100/day, 20/hour, 500/month, several "
        "with commas, or a number for all time (default: $LUMA_MAX_PURCHASES)",
    )
    parser.add_argument(
        "--max-amount",
        metavar="N[/PERIOD]",
        default=default,
        help="spend at most so much, in the same way, by the prices in the settings file (default: $LUMA_MAX_AMOUNT)",
    )


def budgets_of(arguments: argparse.Namespace) -> list[Budget]:
    """Return the spending limits of a command.

    Raises:
        InvalidInput: a flag is wrong.
        ConfigurationError: the environment or the settings file is wrong.
    """
    budgets = [
        budget for setting, limit in _LIMITS.items() for budget in _read_limits(*_find(setting, arguments), limit)
    ]
    if (prices := configured_prices()) is not None:
        budgets.append(Budget(price=prices))
    elif any(budget.amount is not None for budget in budgets):
        raise ConfigurationError(message="--max-amount needs prices: add a table [prices] to the settings file.")
    return budgets


def _find(setting: str, arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the text of a limit, and the name of what set it."""
    flag, variable = f"--{setting.replace('_', '-')}", f"LUMA_{setting.upper()}"
    if typed := vars(arguments).get(setting):
        return typed, flag
    if found := unquoted(os.environ.get(variable) or ""):
        return found, variable
    return configured(setting) or "", setting


def _read_limits(text: str, name: str, limit: Literal["purchases", "amount"]) -> list[Budget]:
    if not text:
        return []
    try:
        return [_read_limit(part.strip(), limit) for part in text.split(",")]
    except ValueError:
        message = f"must be a number such as 100, or with a period such as 100/day, not {text!r}."
    if name.startswith("--"):
        raise InvalidInput(field=name, message=message)
    raise ConfigurationError(message=f"{name} {message}")


def _read_limit(text: str, limit: Literal["purchases", "amount"]) -> Budget:
    number, mark, period = text.partition("/")
    if mark and period not in _PERIODS:
        raise ValueError(period)
    per = cast("Literal['hour', 'day', 'month']", period) if mark else None
    return Budget(purchases=int(number), per=per) if limit == "purchases" else Budget(amount=number, per=per)


def describe(status: BudgetStatus) -> str:
    """Return a line about a budget: its limits, what is spent and what is left."""
    left = [str(rest) for rest in (status.purchases_left, status.amount_left) if rest is not None]
    amount = "" if status.budget.amount is None else f" for {status.spent.amount}"
    unpriced = f" ({status.spent.unpriced} without a price)" if amount and status.spent.unpriced else ""
    rest = f", {' and '.join(left)} left" if left else ""
    return f"{status.budget}: {status.spent.purchases} bought{amount}{unpriced}{rest}"


def as_document(status: BudgetStatus) -> dict[str, Any]:
    """Return a budget as JSON can hold it; amounts are strings, as they are exact."""
    budget, spent = status.budget, status.spent
    amounts = {"amount": budget.amount, "spent_amount": spent.amount, "amount_left": status.amount_left}
    return {
        "per": budget.per,
        "purchases": budget.purchases,
        "spent_purchases": spent.purchases,
        "purchases_left": status.purchases_left,
        **{name: None if amount is None else str(amount) for name, amount in amounts.items()},
        "unpriced": spent.unpriced,
    }
