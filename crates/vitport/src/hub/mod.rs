//! Fetches models by their name on the Hugging Face Hub into the cache that Python's `huggingface_hub` uses.
//!
//! [`fetch_model`] makes of a [`RepoId`] a [`Snapshot`]: a folder in the cache with `config.json` and
//! the weights. What either client fetched, the other finds; the layout is described in the `cache`
//! module. [`fetch_url`] gets a single image.
//!
//! # Why not the `hf-hub` crate
//!
//! Both of its lines were read for this (0.5.0 and 1.0.0), and neither can be trusted with what this
//! module promises:
//!
//! - 0.5 compares neither size nor etag with what arrived, appends a whole body to a half file when a
//!   server ignores `Range`, keeps its own `.part` files and locks next to the blobs, where Python looks
//!   for neither, knows no offline mode and no `Retry-After`, panics on a redirect without `Location`,
//!   and shows the token in the `Debug` form of its client.
//! - 1.0 shares Python's layout and locks, but starts an interrupted download again from the beginning,
//!   checks no digest of a plain download, takes a missing size for 0, and brings tokio, reqwest, aws-lc
//!   and the Xet client: 284 crates, where this module adds 22.
//!
//! So the transfer is written here, on [`ureq`] 3 with rustls and ring: blocking, one connection, and
//! every redirect, retry and check in sight. Should `hf-hub` come to resume and verify, this module is
//! the place to put it.
//!
//! # What is promised
//!
//! - The token goes to the configured endpoint's own origin (scheme, host and port) and nowhere else.
//!   It is in no message, event or `Debug` form; messages never quote what a server wrote.
//! - A blob appears in the cache only after its size and, where the etag is a digest, its bytes were
//!   compared with what the Hub announced.
//! - Interrupted transfers go on where they stopped; passing failures (429, 5xx, cut streams, timeouts)
//!   are retried with growing pauses, and a server's `Retry-After` is honoured.

mod address;
mod cache;
mod choice;
mod client;
mod config;
mod error;
mod etag;
mod image;
mod info;
mod name;
mod pace;
mod progress;
mod retry;
mod shown;
mod snapshot;
mod transfer;

pub use address::shown_address;
pub use config::{DEFAULT_ENDPOINT, HubConfig, Proxies, Retries, Token};
pub use error::{HubError, HubErrorClass};
pub use image::fetch_url;
pub use name::{DEFAULT_REVISION, RepoId};
pub use progress::{FetchEvent, Progress};
pub use snapshot::{Reach, Snapshot, fetch_model};
