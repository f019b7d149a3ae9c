//! Whole exchanges without a network and without a clock: a client and servers in memory, a session between them, and time
//! that the test moves. Every message is split at every place, and each side stalls, ends and breaks at every place.

mod arrivals;
mod dice;
mod framing;
mod known_attacks;
mod lateness;
mod rules;
mod sockets;
mod world;
