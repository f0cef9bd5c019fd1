//! Where names stand in a list that holds them: a hash table of positions alone. A map from names would keep each name, or a
//! pointer to it, a second time.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Positions by the names that stand there. Whoever asks says which name that is.
#[derive(Debug, Clone, Default)]
pub struct Positions {
    /// As u32, which numbers more names than fit into memory.
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Positions {
    /// Room for `count` names.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { table: HashTable::with_capacity(count), hasher: RandomState::default() }
    }

    /// Where `name` stands.
    pub fn find<'a>(&self, name: &str, name_at: impl Fn(usize) -> Option<&'a str>) -> Option<usize> {
        let is_it = |&position: &u32| name_at(position as usize) == Some(name);
        self.table.find(self.hasher.hash_one(name), is_it).map(|&position| position as usize)
    }

    /// Notes that `name` stands at `position`, unless it stands somewhere already: then that is the answer.
    pub fn insert<'a>(
        &mut self,
        name: &str,
        position: usize,
        name_at: impl Fn(usize) -> Option<&'a str>,
    ) -> Option<usize> {
        let Self { table, hasher } = self;
        let is_it = |&known: &u32| name_at(known as usize) == Some(name);
        let hash_at = |&known: &u32| hasher.hash_one(name_at(known as usize).unwrap_or_default());
        match table.entry(hasher.hash_one(name), is_it, hash_at) {
            hashbrown::hash_table::Entry::Occupied(known) => Some(*known.get() as usize),
            hashbrown::hash_table::Entry::Vacant(room) => {
                room.insert(u32::try_from(position).unwrap_or(u32::MAX));
                None
            }
        }
    }
}
