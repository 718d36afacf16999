"""Environment variables of earlier systems, and the settings that they set here."""

# The names stay supported so that the environment of an earlier installation still works.
SETTINGS = {
    "CHATTER_LEVEL": "chatter_level",
    "HFT_EVALUATE_EVERY_QUOTES": "momentum.evaluate_every_quotes",
    "HFT_MAX_SPREAD_BPS": "momentum.max_spread_bps",
    "HFT_MIN_EDGE_BPS": "momentum.min_edge_bps",
    "HFT_STOP_LOSS_BPS": "exits.stop_loss_bps",
    "HFT_TAKE_PROFIT_BPS": "exits.take_profit_bps",
    "HYBRID_GATE_REFRESH_QUOTES": "hybrid.gate_refresh_quotes",
    "HYBRID_NO_TRADE_COOLDOWN_QUOTES": "hybrid.no_trade_cooldown_quotes",
    "LLM_MAX_CONCURRENT": "llm.max_concurrent",
    "LLM_QUEUE_SIZE": "llm.queue_size",
    "MAX_ORDER_AMOUNT": "sizing.max_order_amount",
    "MIN_ORDER_AMOUNT": "sizing.min_order_amount",
    "NO_TRADE_COOLDOWN_QUOTES": "llm.no_trade_cooldown_quotes",
    "OPENAI_BASE_URL": "llm.base_url",
    "STRATEGY_MODE": "trading.mode",
    "WARMUP_MIN_COUNT": "momentum.warmup_count",
}

# Known but not used; `config show` lists those that are set, so that they are not ignored silently.
UNUSED = frozenset(
    {
        "APCA_API_BASE_URL",
        "APCA_API_KEY_ID",
        "APCA_API_SECRET_KEY",
        "EXCHANGE",
        "EXIT_ON_QUOTES",
        "KEEP_ALIVE_URL",
        "MARKET_HISTORY_LIMIT",
        "TRADING_MODE",
        "TRADING_SYMBOLS",
    }
)
