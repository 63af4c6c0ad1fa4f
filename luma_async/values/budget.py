"""Spending limits: how many purchases, and for how much, a journal may record in a span of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeAlias, cast

import attrs

from luma_async.values.errors import ConfigurationError, InvalidInput, LumaError, error
from luma_async.values.public import public
from luma_async.values.requests import OPERATIONS, Request
from luma_async.values.validators import shown

Prices: TypeAlias = Mapping[str, Decimal | float | str] | Callable[[Request], Decimal | float | str]
"""What requests cost: a table or a function. See `Budget.price`."""

_SPANS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "month": timedelta(days=30)}


@public
@attrs.frozen(kw_only=True)
class Spent:
    """What may have been charged so far."""

    purchases: int = 0
    """How many purchases."""
    amount: Decimal = Decimal()
    """The sum of their prices, as they were when each was claimed."""
    unpriced: int = 0
    """How many of the purchases have no price, since they were made without prices. They add nothing to the sum."""

    def plus(self, price: Decimal | None, purchases: int = 1) -> Spent:
        """Return the sum with purchases that cost `price` together."""
        return Spent(
            purchases=self.purchases + purchases,
            amount=self.amount + (price or 0),
            unpriced=self.unpriced + (purchases if price is None else 0),
        )

    def minus(self, price: Decimal | None) -> Spent:
        """Return the sum without one purchase."""
        return self.plus(None if price is None else -price, -1)


def _as_number(value: object) -> Decimal | None:
    """Return an amount of 0 or more; None for anything else. A float means what it shows: 0.1 is a tenth."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and number >= 0 else None


def _amount(value: Decimal | float | str | None) -> Decimal | None:
    if value is None:
        return None
    number = _as_number(value)
    if number is None:
        raise InvalidInput(field="amount", message=f"must be a number >= 0, such as 20 or '0.35', not {shown(value)}.")
    return number


def _purchases(_: object, __: attrs.Attribute[Any], value: object) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise InvalidInput(field="purchases", message=f"must be an integer >= 0, not {shown(value)}.")


def _per(_: object, __: attrs.Attribute[Any], value: object) -> None:
    if value is not None and value not in [*_SPANS, "session"]:
        raise InvalidInput(
            field="per", message=f'must be "hour", "day", "month", "session" or None, not {shown(value)}.'
        )


def _price(_: object, __: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not callable(value):
        check_prices(value)


def check_prices(value: object) -> None:
    """Check a table of prices.

    Raises:
        InvalidInput: it is none, or a row has no price.
    """
    if not isinstance(value, Mapping):
        raise InvalidInput(field="price", message=f"must be a table or a function, not {shown(value)}.")
    for row, price in cast("Mapping[object, object]", value).items():
        if not isinstance(row, str) or _as_number(price) is None:
            message = f"the row {shown(row)} must be a string with a number >= 0, not {shown(price)}."
            raise InvalidInput(field="price", message=message)


@public
@attrs.frozen(kw_only=True)
class Budget:
    """A spending limit. `LumaSession(budget=…)` takes one or several.

    The journal counts, in the same step that records a purchase before it is sent. So the limit holds for all
    sessions, processes and runs that use the journal with the same service and have this budget. What is in doubt
    counts as spent, also after you have abandoned the doubt, and so does a generation that failed. What the service
    refused and what was not sent does not count.

    The time is a span that ends now, not a day of the calendar: at most so many purchases in any 24 hours. A purchase
    counts from the moment at which it was claimed.
    """

    purchases: int | None = attrs.field(default=None, validator=_purchases)
    """The most purchases; None for no limit."""
    amount: Decimal | None = attrs.field(default=None, converter=_amount)
    """The largest sum of prices, in the currency of your prices; None for no limit."""
    per: Literal["hour", "day", "month", "session"] | None = attrs.field(default=None, validator=_per)
    """In which time: any 60 minutes, any 24 hours, any 30 days, or while the session is open. None means in all, as far
    as the journal goes back."""
    price: Mapping[str, Decimal | float | str] | Callable[[Request], Decimal | float | str] | None = attrs.field(
        default=None, validator=_price, hash=False
    )
    """What a request costs: a function that returns it, or a table. The name of a row is what the request says about
    model, resolution and duration, such as `"ray-3.2 720p 5s"`, with `hdr` and `exr` after it where they are on, and
    with the operation before it for all but videos of a prompt, such as `"image photon-1"`. A request that says nothing
    of these has the row `"default"`. A budget with prices and no limit only records what each purchase costs."""

    def __attrs_post_init__(self) -> None:
        if self.purchases is None and self.amount is None and self.price is None:
            raise InvalidInput(field="purchases", message="a budget needs a limit: pass purchases or amount.")

    def __str__(self) -> str:
        purchases = None if self.purchases is None else _counted(self.purchases)
        amount = None if self.amount is None else f"an amount of {self.amount}"
        limits = " and ".join(filter(None, (purchases, amount))) or "no limit"
        return f"{limits} {'in all' if self.per is None else f'per {self.per}'}"

    @property
    def span(self) -> timedelta | None:
        """The length of the time; None if there is no end to it."""
        return _SPANS.get(self.per or "")

    def since(self, now: datetime) -> datetime | None:
        """Return the moment after which purchases count, in whole seconds, so that many claims ask for the same.

        None means all.
        """
        return None if self.span is None else (now - self.span).replace(microsecond=0)

    def allows(self, spent: Spent, *, purchases: int = 1, amount: Decimal | None = None) -> bool:
        """Whether there is room for so many purchases that cost this amount together."""
        return (self.purchases is None or spent.purchases + purchases <= self.purchases) and (
            self.amount is None or spent.amount + (amount or 0) <= self.amount
        )


@public
@attrs.frozen(kw_only=True)
class BudgetStatus:
    """A budget, and what is spent of it now."""

    budget: Budget
    """The budget."""
    spent: Spent
    """What is spent of it."""

    @property
    def purchases_left(self) -> int | None:
        """How many purchases are left; None for no limit."""
        return None if self.budget.purchases is None else max(0, self.budget.purchases - self.spent.purchases)

    @property
    def amount_left(self) -> Decimal | None:
        """What amount is left; None for no limit."""
        return None if self.budget.amount is None else max(Decimal(), self.budget.amount - self.spent.amount)

    def allows(self, purchases: int = 1, amount: Decimal | float | str = 0) -> bool:
        """Whether there is room for so many purchases that cost this amount together."""
        return self.budget.allows(self.spent, purchases=purchases, amount=_amount(amount))


@error
class BudgetExceeded(LumaError):
    """The purchase would exceed a spending limit. Nothing was sent, and nothing was charged."""

    budget: Budget
    """The budget."""
    spent: Spent
    """What is spent of it."""
    price: Decimal | None = None
    """What this purchase costs, if there are prices."""
    room_at: datetime | None = None
    """When there is room for it, if nothing else is bought until then; None if waiting makes no room."""

    def _text(self) -> str:
        costs = "" if self.price is None else f" This purchase costs {self.price}."
        if self.room_at is not None:
            step = f"There is room for it at {self.room_at:%Y-%m-%d %H:%M:%S} UTC."
        else:
            step = "Waiting makes no room: raise the budget to go on."
        amount = "" if self.budget.amount is None else f" for {self.spent.amount}"
        return (
            f"The budget of {self.budget} has no room: {_counted(self.spent.purchases)}{amount} so far, what is in "
            f"doubt included.{costs} Nothing was sent or charged. {step}"
        )


def _counted(purchases: int) -> str:
    return f"{purchases} purchase{'' if purchases == 1 else 's'}"


def check_budgets(value: object) -> tuple[Budget, ...]:
    """Return the budgets of a session.

    Raises:
        ConfigurationError: it is none, an amount has no prices, or there are two kinds of prices.
    """
    given: list[object] = list(cast("Iterable[object]", value)) if isinstance(value, list | tuple) else [value]
    budgets = tuple(each for each in given if isinstance(each, Budget))
    if value is None:
        return ()
    if len(budgets) < len(given):
        raise ConfigurationError(message=f"budget must be a Budget or a list of them, not {shown(value)}.")
    prices = [budget.price for budget in budgets if budget.price is not None]
    if not prices and any(budget.amount is not None for budget in budgets):
        raise ConfigurationError(message="A budget with an amount needs prices: Budget(amount=…, price=…).")
    if any(price is not prices[0] and price != prices[0] for price in prices):
        raise ConfigurationError(message="The budgets have different prices. Give one of them the prices of all.")
    return budgets


def price_of(request: Request, prices: Prices) -> Decimal:
    """Return what a request costs.

    Raises:
        ConfigurationError: the table has no such row, or the function returns no price.
    """
    if not callable(prices):
        row = row_of(request)
        if row not in prices:
            raise ConfigurationError(message=f"The prices have no row {row!r}, so nothing was sent. Add it to them.")
        return _as_number(prices[row]) or Decimal()
    try:
        found: object = prices(request)
        problem = f"returned {shown(found)}"
    except Exception as failure:  # whatever the user's own function raises
        found, problem = None, f"raised {type(failure).__name__}: {failure}"
    number = _as_number(found)
    if number is None:
        message = f"The price function {problem}, so nothing was sent. It must return a number >= 0."
        raise ConfigurationError(message=message)
    return number


def row_of(request: Request) -> str:
    """Return the name of a request's row in a table of prices."""
    operation = OPERATIONS[type(request)]
    words = [operation if operation != "submit" else ""]
    words += [getattr(request, name, None) or "" for name in ("model", "resolution", "duration")]
    words += [word for word, field in (("hdr", "hdr"), ("exr", "exr_export")) if getattr(request, field, None)]
    return " ".join(filter(None, words)) or "default"
