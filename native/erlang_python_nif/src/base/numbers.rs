//! Maps by numbers that this side gives out one after the other: nobody else can choose them so that they collide.

use rustc_hash::FxBuildHasher;
use std::collections::HashMap;

pub type Numbers<V> = HashMap<u64, V, FxBuildHasher>;
