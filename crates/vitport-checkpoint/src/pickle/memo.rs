//! The memo: values that a pickle stores under a number to use them again.
//!
//! Python's picklers number from 0 upwards, so most of the memo is a plain table. Numbers out of order are
//! lawful, too, and kept aside at a higher price.

use std::collections::HashMap;

use super::arena::{Arena, Value};
use crate::error::{Fault, Reason, refuse};

/// Gives the entries that there is space for at first.
const LEAST: usize = 64;

/// Gives what an entry out of order costs.
const ASIDE: usize = 256;

/// Holds the values by number.
#[derive(Default)]
pub(super) struct Memo {
    in_order: Vec<Value>,
    aside: HashMap<u64, Value>,
}

impl Memo {
    /// Returns the number that `MEMOIZE` stores under: that of entries so far.
    pub(super) fn next(&self) -> u64 {
        (self.in_order.len() + self.aside.len()) as u64
    }

    pub(super) fn put(&mut self, arena: &mut Arena, slot: u64, value: Value) -> Result<(), Fault> {
        let index = usize::try_from(slot).unwrap_or(usize::MAX);
        if index == self.in_order.len() && self.aside.is_empty() {
            if index == self.in_order.capacity() {
                let more = index.max(LEAST);
                arena.charge(more.saturating_mul(size_of::<Value>()))?;
                self.in_order.reserve_exact(more);
            }
            self.in_order.push(value);
        } else if let Some(entry) = self.in_order.get_mut(index) {
            *entry = value;
        } else {
            arena.charge(ASIDE)?;
            self.aside.insert(slot, value);
        }
        Ok(())
    }

    pub(super) fn get(&self, slot: u64) -> Result<Value, Fault> {
        let in_order = usize::try_from(slot).ok().and_then(|index| self.in_order.get(index));
        match in_order.or_else(|| self.aside.get(&slot)) {
            Some(value) => Ok(*value),
            None => {
                refuse(Reason::Malformed, format!("the pickle recalls value {slot}, which it never stored"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn numbers_in_any_order() {
        let mut arena = Arena::new(&Limits::default());
        let mut memo = Memo::default();
        for slot in [0, 1, 7, 2, 1, u64::MAX] {
            memo.put(&mut arena, slot, Value::Long(slot as u32)).unwrap();
        }
        for slot in [0, 1, 7, 2, u64::MAX] {
            assert_eq!(memo.get(slot).unwrap(), Value::Long(slot as u32));
        }
        assert_eq!(memo.next(), 5);
        assert!(memo.get(3).is_err());
    }
}
