//! The rate of new calls that the operator sets.

const SECOND: f64 = 1e9;

pub struct Rate {
    per_second: f64,
    tokens: f64,
    updated_ns: u64,
}

impl Rate {
    /// 0: no limit.
    pub fn new(per_second: f64) -> Self {
        Self { per_second, tokens: 1.0, updated_ns: 0 }
    }

    /// Count one more, if there may be one.
    pub fn admits(&mut self, now_ns: u64) -> bool {
        if self.per_second <= 0.0 {
            return true;
        }
        let elapsed = now_ns.saturating_sub(self.updated_ns) as f64 / SECOND;
        self.tokens = (self.tokens + elapsed * self.per_second).min((self.per_second / 5.0).max(1.0));
        self.updated_ns = now_ns;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}
