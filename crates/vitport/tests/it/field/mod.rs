//! Tests files as people have them: which network is taken, what is written of it, and why others are refused.

mod adapters;
mod found;
mod heads;
mod run;
mod table;
