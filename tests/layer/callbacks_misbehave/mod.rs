//! Every function of a user's that the layer calls may panic, block or call back into the layer and its handle: no lock is
//! held meanwhile, no other caller is harmed, and later requests are served.

mod blocking;
mod calling_back;
mod panicking;
mod world;

use self::world::{Place, Scene, World};
