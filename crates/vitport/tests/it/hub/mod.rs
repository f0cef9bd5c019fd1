//! Tests fetching from the Hub, against a server on loopback.

mod cache;
mod concurrency;
mod disk;
mod fetch;
mod image;
mod integrity;
mod names;
mod offline;
mod proxy;
mod redirects;
mod refusals;
mod resume;
mod retries;
mod revisions;
mod server;
mod token;
