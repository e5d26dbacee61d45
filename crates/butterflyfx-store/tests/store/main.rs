//! What the store promises, one file for each promise.

mod answers;
mod backup;
mod crashes;
mod damage;
mod digest;
mod failures;
mod faults;
mod formats;
mod lock;
mod pages;
mod queue;
mod records;
mod repair;
mod rescue;
mod round_trip;
mod steps;
mod views;
