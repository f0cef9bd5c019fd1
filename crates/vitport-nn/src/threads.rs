//! Says where the work of a network runs: on rayon's threads, of which there are as many as processors.

/// Runs `work` on one of rayon's threads. A thread outside of them has to be woken up at the end of
/// every kernel, which for a network of a hundred kernels takes milliseconds.
pub fn on_the_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

#[cfg(test)]
mod tests {
    #[test]
    fn work_runs_on_a_thread_of_the_pool_and_hands_its_result_over() {
        assert_eq!(rayon::current_thread_index(), None);
        assert!(super::on_the_pool(rayon::current_thread_index).is_some());
    }
}
