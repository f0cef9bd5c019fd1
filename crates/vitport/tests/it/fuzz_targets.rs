//! Makes a short run of every fuzz target without a fuzzer: the committed seeds, and a fixed number of mutations of each. It
//! keeps the targets compiling and finds what a change breaks grossly; the long runs are described in docs/fuzzing.md.
#![allow(dead_code)]

#[path = "../../../../fuzz/src/lib.rs"]
mod fuzz;

use std::path::PathBuf;

/// Mutations of each seed.
const MUTATIONS: usize = 300;

/// Marsaglia's xorshift64: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }

    /// One to four changes: a bit, a byte, a number of the kind that overflows, a part cut out, a part doubled.
    fn mutate(&mut self, seed: &[u8]) -> Vec<u8> {
        const NUMBERS: [&[u8]; 6] =
            [&[0xff; 8], &[0xff; 4], &[0; 8], b"\xff\xff\xff\x7f", b"99999999999999999999", b"-1"];
        let mut data = seed.to_vec();
        for _ in 0..=self.roll(4) {
            let at = self.roll(data.len());
            let end = (at + 1 + self.roll(16)).min(data.len());
            match self.roll(6) {
                _ if data.is_empty() => data.push(self.roll(256) as u8),
                0 => data[at] ^= 1 << self.roll(8),
                1 => data[at] = self.roll(256) as u8,
                2 => {
                    let number = NUMBERS[self.roll(NUMBERS.len())];
                    data.splice(at..end, number.iter().copied());
                }
                3 => drop(data.drain(at..end)),
                4 => {
                    let part = data[at..end].to_vec();
                    data.splice(at..at, part);
                }
                _ => data.truncate(at),
            }
        }
        data
    }
}

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut seeds: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    seeds.sort();
    seeds
}

#[test]
fn every_target_survives_its_seeds_and_their_mutations() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for (target, run) in fuzz::targets::ALL {
        let seeds = seeds(target);
        assert!(!seeds.is_empty(), "{target} has no seeds");
        for (name, seed) in seeds {
            run(&seed);
            for number in 0..MUTATIONS {
                let data = dice.mutate(&seed);
                let outcome = std::panic::catch_unwind(|| run(&data));
                assert!(outcome.is_ok(), "{target}: mutation {number} of {name} panics: {data:?}");
            }
        }
    }
    let _ = std::fs::remove_dir_all(fuzz::folder());
}
