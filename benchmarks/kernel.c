/* The momentum kernel and a venue without latency, over a whole tape: what the compiled Python is
   measured against. Same logic, same record, same order of floating-point operations. Outcome codes,
   COUNT and HISTORY come from the Python side as -D options. */

#include <math.h>
#include <stdint.h>

enum { FLAT, PENDING, OPEN, EXITING };
enum { SHORT_ONLY = -1, BOTH, LONG_ONLY };

struct lane {
    double take_profit, stop_loss, trail_from, bid, ask;
    int64_t status, stop;
    double highest, trail_keep;
    int64_t gate, refresh_in, is_short, direction, entry_side;
    int64_t counts[COUNT];
    double max_spread_bps, min_edge_bps, min_volume_ratio;
    int64_t evaluate_every_quotes, lookback, warmup_count, filters, use_vwap;
    int64_t accepted, debounce, slot;
    double mids[HISTORY], volumes[HISTORY];
};

int64_t lane_bytes(void) { return sizeof(struct lane); }

static inline int filtered(const struct lane *lane, double mid, double volume) {
    int64_t kept = lane->accepted < lane->lookback + 1 ? lane->accepted : lane->lookback + 1;
    double shown = 0.0, weighted = 0.0;
    for (int64_t i = 0; i < kept; i++) {
        shown += lane->volumes[i];
        weighted += lane->mids[i] * lane->volumes[i];
    }
    if (volume < lane->min_volume_ratio * (shown / kept)) return LOW_VOLUME;
    if (lane->use_vwap && !((mid - weighted / shown) * lane->entry_side > 0.0)) return BELOW_VWAP;
    return ENTRY;
}

static inline double remember(struct lane *lane, double mid, double volume) {
    int64_t slot = lane->slot;
    lane->mids[slot] = mid;
    if (lane->filters) lane->volumes[slot] = volume;
    slot = slot == lane->lookback ? 0 : slot + 1;
    lane->slot = slot;
    lane->accepted += 1;
    return lane->mids[lane->accepted > lane->lookback ? slot : 0];
}

static inline int trail(struct lane *lane, double price) {
    if (lane->trail_from > -INFINITY) {
        lane->trail_from = -INFINITY;
        lane->highest = price;
    } else if (price > lane->highest) {
        lane->highest = price;
    }
    return price <= lane->highest * lane->trail_keep ? TRAILING_STOP : -1;
}

static inline int step(struct lane *lane, double bid, double ask, double volume) {
    if (!(bid > 0.0 && ask >= bid && ask < INFINITY)) return BAD_QUOTE;
    lane->bid = bid;
    lane->ask = ask;
    lane->refresh_in -= 1;
    double price = lane->is_short ? -ask : bid;
    if (price >= lane->take_profit) return lane->status == EXITING ? EXIT_PENDING : TAKE_PROFIT;
    if (price <= lane->stop_loss) return STOP_LOSS;
    if (price >= lane->trail_from && trail(lane, price) >= 0) return TRAILING_STOP;
    double mid = (bid + ask) / 2.0;
    if ((ask - bid) / mid * 10000.0 > lane->max_spread_bps) return WIDE_SPREAD;
    double past = remember(lane, mid, volume);
    lane->debounce += 1;
    if (lane->debounce < lane->evaluate_every_quotes) return DEBOUNCE;
    lane->debounce = 0;
    if (lane->accepted < lane->warmup_count) return WARMING_UP;
    double edge = (mid - past) / past * 10000.0;
    if (edge < lane->min_edge_bps || lane->direction == SHORT_ONLY) {
        if (edge > -lane->min_edge_bps || lane->direction == LONG_ONLY) return NO_EDGE;
        lane->entry_side = -1;
    } else {
        lane->entry_side = 1;
    }
    if (lane->status == OPEN) return IN_POSITION;
    if (lane->status == PENDING) return ORDER_PENDING;
    if (lane->gate) return (int)lane->gate;
    return lane->filters ? filtered(lane, mid, volume) : ENTRY;
}

static inline void decide(struct lane *lane, int code, double bid, double ask, double profit_bps,
                          double loss_bps) {
    double mid = (bid + ask) / 2.0;
    lane->stop = code;
    if (code == ENTRY) {
        lane->status = OPEN;
        lane->take_profit = mid * (1.0 + profit_bps / 10000.0);
        lane->stop_loss = mid * (1.0 - loss_bps / 10000.0);
    } else {
        lane->status = FLAT;
        lane->take_profit = INFINITY;
        lane->stop_loss = -INFINITY;
    }
}

int64_t play(struct lane *restrict lanes, const int32_t *restrict lane_of, const double *restrict bid,
             const double *restrict ask, const double *restrict bid_size, const double *restrict ask_size,
             int64_t rows, double profit_bps, double loss_bps, int64_t *restrict stops,
             int8_t *restrict codes) {
    int64_t found = 0;
    for (int64_t i = 0; i < rows; i++) {
        struct lane *lane = &lanes[lane_of[i]];
        double volume = lane->filters ? bid_size[i] + ask_size[i] : 0.0;
        int code = step(lane, bid[i], ask[i], volume);
        lane->counts[code] += 1;
        if (code >= TAKE_PROFIT) {
            decide(lane, code, bid[i], ask[i], profit_bps, loss_bps);
            stops[found] = i;
            codes[found++] = (int8_t)code;
        }
    }
    return found;
}
