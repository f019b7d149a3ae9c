//! Routers that move together (keepalived's `vrrp_sync_group`): all of them are master, or none is.

use crate::Role;

/// What one member of a group is like now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its role.
    pub role: Role,
    /// Whether it would be master if the others could: its own master is silent, or worse than it.
    pub wants: bool,
    /// Whether it was master before the others' roles were looked at last.
    pub was_master: bool,
}

/// What all members are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nothing.
    Stay,
    /// Those that want to become master.
    Promote,
    /// Those that are master leave: one of them no longer is.
    Demote,
}

/// What follows from how the members are.
#[must_use]
pub fn next_move(members: &[Member]) -> Move {
    let masters = members.iter().filter(|member| member.role == Role::Master).count();
    if masters < members.len()
        && members.iter().any(|m| m.was_master && m.role != Role::Master)
        && masters > 0
    {
        return Move::Demote;
    }
    let all_want = members.iter().all(|member| member.wants || member.role == Role::Master);
    if all_want && masters < members.len() { Move::Promote } else { Move::Stay }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(text: &str) -> Member {
        let role = match text.as_bytes()[0] {
            b'M' => Role::Master,
            b'B' => Role::Backup,
            _ => Role::Initialize,
        };
        Member { role, wants: text.contains('w'), was_master: text.contains('m') }
    }

    #[test]
    fn all_move_or_none() {
        for (members, expected) in [
            (["B", "B"], Move::Stay),
            // One silent link is no reason to take over, two are.
            (["Bw", "B"], Move::Stay),
            (["Bw", "Bw"], Move::Promote),
            (["Mm", "Mm"], Move::Stay),
            // One that has lost its office takes the others along.
            (["Bm", "Mm"], Move::Demote),
            (["Im", "Mm"], Move::Demote),
            (["Bm", "Bm"], Move::Stay),
            // One that has been promoted before the others had been.
            (["Mm", "Bw"], Move::Promote),
            (["I", "Bw"], Move::Stay),
        ] {
            assert_eq!(next_move(&members.map(member)), expected, "{members:?}");
        }
    }
}
