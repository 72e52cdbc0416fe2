//! A map of the newest `MOST`: one more, and the oldest goes.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

pub struct Recent<K, V, const MOST: usize> {
    values: HashMap<K, V>,
    /// The oldest first.
    order: VecDeque<K>,
}

impl<K, V, const MOST: usize> Default for Recent<K, V, MOST> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Copy + Eq + Hash, V, const MOST: usize> Recent<K, V, MOST> {
    pub fn get(&self, key: K) -> Option<&V> {
        self.values.get(&key)
    }

    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.values.get_mut(&key)
    }

    /// A key that is there has another value from now on, and grows no younger.
    pub fn insert(&mut self, key: K, value: V) {
        if self.values.insert(key, value).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_for_a_new_key_and_none_for_a_new_value() {
        let mut recent = Recent::<_, _, 2>::default();
        for (key, value) in [(1, 'a'), (2, 'b'), (1, 'c')] {
            recent.insert(key, value);
        }
        assert_eq!((recent.get(1), recent.get(2)), (Some(&'c'), Some(&'b')));
        recent.insert(3, 'd');
        assert_eq!((recent.get(1), recent.get(2), recent.get(3)), (None, Some(&'b'), Some(&'d')));
    }
}
