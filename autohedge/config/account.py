"""The account that the settings describe."""

from collections.abc import Sequence

from autohedge.config.settings import Settings
from autohedge.core.accounts import OpeningAccount, currencies_of
from autohedge.core.errors import Misconfigured


def opening_account(settings: Settings, symbols: Sequence[str]) -> OpeningAccount:
    """Returns the account of a run on these symbols, in lane order, before its first fill.

    Raises Misconfigured if a currency has no rate to the reporting one.
    """
    account, fee_currency = settings.account, settings.simulated.fee_currency
    instruments = [settings.instrument(symbol) for symbol in symbols]
    others = [*account.balances, *([fee_currency] if fee_currency else [])]
    currencies = currencies_of(instruments, account.currency, others)
    if currencies.reporting in account.balances:
        raise Misconfigured(
            f"account.balances has {currencies.reporting}, the reporting currency: use account.initial_cash"
        )
    return OpeningAccount(account.initial_cash, account.balances, currencies)
