//! Describes a share of the jobs that depends on nothing but the file: line by line, in rotation, so that the tasks of a job array
//! split it without talking to each other.

use std::str::FromStr;

/// Describes one share of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobShard {
    /// Numbers it, from 0.
    pub index: usize,
    /// Counts them all.
    pub count: usize,
}

impl JobShard {
    /// Stands for all jobs.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Returns whether it is all jobs.
    pub fn is_whole(self) -> bool {
        self.count == 1
    }

    /// Returns whether the job at this place, from 0, belongs to it.
    pub fn holds(self, place: usize) -> bool {
        place % self.count == self.index
    }

    /// Returns the name of a results file without the shard in it: `jobs.results.0-of-4.jsonl` as `jobs.results.jsonl`.
    pub fn without(name: &str) -> String {
        let whole = || name.to_owned();
        let Some(stem) = name.strip_suffix(".jsonl") else { return whole() };
        let Some((before, part)) = stem.rsplit_once('.') else { return whole() };
        let Some((index, count)) = part.split_once("-of-") else { return whole() };
        let are_numbers = [index, count].iter().all(|text| text.parse::<usize>().is_ok());
        if are_numbers { format!("{before}.jsonl") } else { whole() }
    }
}

impl FromStr for JobShard {
    type Err = String;

    /// Parses `I/N`. Schedulers count their tasks from 0 or from 1; `N/N` is the same share as `0/N`, so both ways of counting make
    /// a whole.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a shard is I/N, such as 0/4 to 3/4, or 1/4 to 4/4".to_owned();
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let index: usize = index.trim().parse().map_err(|_| wrong())?;
        let count: usize = count.trim().parse().map_err(|_| wrong())?;
        if count == 0 || index > count {
            return Err(wrong());
        }
        Ok(Self { index: index % count, count })
    }
}

#[cfg(test)]
mod tests {
    use super::JobShard;

    #[test]
    fn shards_make_a_whole_whichever_way_they_are_counted() {
        for range in [0..3_usize, 1..4] {
            let shards: Vec<JobShard> = range.map(|index| format!("{index}/3").parse().unwrap()).collect();
            for place in 0..100 {
                assert_eq!(shards.iter().filter(|shard| shard.holds(place)).count(), 1, "{place}");
            }
        }
        for wrong in ["", "1", "/", "4/3", "0/0", "-1/3", "a/b", "1/2/3"] {
            assert!(wrong.parse::<JobShard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn results_of_all_shards_belong_together() {
        assert_eq!(JobShard::without("jobs.results.0-of-4.jsonl"), "jobs.results.jsonl");
        for name in ["jobs.results.jsonl", "jobs.results.x-of-4.jsonl", "jobs.0-of-4.json", "jsonl"] {
            assert_eq!(JobShard::without(name), name);
        }
    }
}
