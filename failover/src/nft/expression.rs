//! The steps of a rule (linux/netfilter/nf_tables.h). A step reads registers of four bytes each, or writes them.

use super::attributes::Attributes;

/// The first of the sixteen registers of four bytes.
pub(crate) const REGISTER: u32 = 8;
const REGISTER_OF_VERDICT: u32 = 0;
const EQUAL: u32 = 0;
const UPDATE: u32 = 1;

/// Where an offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Link = 0,
    Network = 1,
    Transport = 2,
}

/// What is known of a packet beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meta {
    /// The number of the interface by which it leaves.
    OutInterface = 5,
    /// The type of hardware of the interface by which it came.
    InType = 8,
    /// The protocol above IP, behind extension headers.
    Transport = 16,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<'a> {
    Drop,
    Accept,
    Goto(&'a str),
}

/// One step; one that does not hold ends its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expression<'a> {
    /// Bytes of the packet into a register.
    Load {
        base: Base,
        offset: u32,
        length: u32,
        register: u32,
    },
    /// A register into the packet; no checksum covers these bytes.
    Store {
        base: Base,
        offset: u32,
        length: u32,
        register: u32,
    },
    Meta(Meta),
    /// The first register holds this.
    Equals(&'a [u8]),
    /// Keeps these bits of the first register.
    Mask(&'a [u8]),
    /// The registers are a key of the set.
    Lookup(&'a str),
    /// Enters the registers into the set as a key, or lets a key that is there live on. Does not hold when the set is full.
    Update {
        set: &'a str,
        id: u32,
    },
    /// Bytes into the first register.
    Set(&'a [u8]),
    /// Sends the packet by the interface that the first register names.
    Forward,
    Verdict(Verdict<'a>),
}

impl Expression<'_> {
    pub(super) fn encode(self) -> Attributes {
        let plain = Attributes::new;
        let value = |bytes: &[u8]| plain().bytes(1, bytes);
        let (name, inside) = match self {
            Self::Load { base, offset, length, register } => (
                "payload",
                plain().number(1, register).number(2, base as u32).number(3, offset).number(4, length),
            ),
            Self::Store { base, offset, length, register } => (
                "payload",
                plain().number(5, register).number(2, base as u32).number(3, offset).number(4, length),
            ),
            Self::Meta(key) => ("meta", plain().number(1, REGISTER).number(2, key as u32)),
            Self::Equals(bytes) => {
                ("cmp", plain().number(1, REGISTER).number(2, EQUAL).nested(3, value(bytes)))
            }
            Self::Mask(mask) => {
                let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
                let nothing = vec![0; mask.len()];
                let registers = plain().number(1, REGISTER).number(2, REGISTER).number(3, length);
                ("bitwise", registers.nested(4, value(mask)).nested(5, value(&nothing)))
            }
            Self::Lookup(set) => ("lookup", plain().text(1, set).number(2, REGISTER)),
            Self::Update { set, id } => {
                ("dynset", plain().text(1, set).number(2, id).number(3, UPDATE).number(4, REGISTER))
            }
            Self::Set(bytes) => ("immediate", plain().number(1, REGISTER).nested(2, value(bytes))),
            Self::Forward => ("fwd", plain().number(1, REGISTER)),
            Self::Verdict(verdict) => {
                let inside = match verdict {
                    Verdict::Drop => plain().number(1, 0),
                    Verdict::Accept => plain().number(1, 1),
                    Verdict::Goto(chain) => plain().number(1, (-4_i32).cast_unsigned()).text(2, chain),
                };
                let data = plain().nested(2, inside);
                ("immediate", plain().number(1, REGISTER_OF_VERDICT).nested(2, data))
            }
        };
        plain().text(1, name).nested(2, inside)
    }
}
