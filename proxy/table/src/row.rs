//! One entry's values, in the order of the table's columns.

use std::sync::Arc;

use crate::{DataType, Frequency, Kind, Stored};

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A signed number.
    Signed(i32),
    /// A counter or tag.
    Unsigned(u32),
    /// A byte counter.
    Wide(u64),
    /// A rate.
    Rate(Frequency),
    /// A text.
    Text(Option<Arc<str>>),
    /// An array.
    Array(Box<[Value]>),
}

impl Value {
    /// The value an entry begins with.
    #[must_use]
    pub fn initial(stored: &Stored) -> Self {
        let one = match stored.data_type.row().kind {
            Kind::Signed => Self::Signed(0),
            Kind::Unsigned => Self::Unsigned(0),
            Kind::Wide => Self::Wide(0),
            Kind::Rate => Self::Rate(Frequency::default()),
            Kind::Text => Self::Text(None),
        };
        if stored.data_type.row().array {
            Self::Array(vec![one; usize::from(stored.elements)].into_boxed_slice())
        } else {
            one
        }
    }

    /// The value as a number; a rate as it stands now.
    #[must_use]
    pub fn number(&self, now_ms: u64, period_ms: u32) -> u64 {
        match self {
            Self::Signed(n) => u64::try_from(*n).unwrap_or(0),
            Self::Unsigned(n) => u64::from(*n),
            Self::Wide(n) => *n,
            Self::Rate(rate) => u64::from(rate.read(now_ms, period_ms)),
            Self::Text(_) => 0,
            Self::Array(list) => list.first().map_or(0, |v| v.number(now_ms, period_ms)),
        }
    }

    /// Takes another value of the same kind if `better` says so of the old and the new, each element of an
    /// array for itself.
    fn combine(&mut self, new: Self, better: &impl Fn(&Self, &Self) -> bool) {
        if let (Self::Array(ours), Self::Array(theirs)) = (&mut *self, &new) {
            for (old, new) in ours.iter_mut().zip(theirs) {
                old.combine(new.clone(), better);
            }
        } else if std::mem::discriminant(self) == std::mem::discriminant(&new) && better(self, &new) {
            *self = new;
        }
    }
}

/// What stands where in an array: the old type, the array, the element.
const FIRST_ELEMENTS: [(DataType, DataType, usize); 5] = [
    (DataType::Gpt0, DataType::Gpt, 0),
    (DataType::Gpc0, DataType::Gpc, 0),
    (DataType::Gpc1, DataType::Gpc, 1),
    (DataType::Gpc0Rate, DataType::GpcRate, 0),
    (DataType::Gpc1Rate, DataType::GpcRate, 1),
];

/// The values of one entry, while the table holds it for a change or a look.
#[derive(Debug)]
pub struct Row<'t> {
    pub(crate) columns: &'t [Stored],
    pub(crate) values: &'t mut [Value],
}

impl Row<'_> {
    /// The value of a type, if the table stores it.
    #[must_use]
    pub fn value(&self, data_type: DataType) -> Option<&Value> {
        Some(&self.values[self.place(data_type)?])
    }

    /// The value of a type as a number, a rate as it stands now; 0 where it is not stored.
    #[must_use]
    pub fn number(&self, data_type: DataType, now_ms: u64) -> u64 {
        self.element(data_type, 0, now_ms).unwrap_or(0)
    }

    /// One element of an array as a number, or the value of a type that is none; `None` where there is none.
    #[must_use]
    pub fn element(&self, data_type: DataType, index: usize, now_ms: u64) -> Option<u64> {
        let (place, index) = self.find(data_type, index)?;
        let value = &self.values[place];
        let value = if let Value::Array(list) = value { list.get(index)? } else { value };
        Some(value.number(now_ms, self.columns[place].period_ms))
    }

    /// Counts events in a counter or a rate; nothing where it is not stored.
    pub fn add(&mut self, data_type: DataType, now_ms: u64, events: u64) {
        self.add_element(data_type, 0, now_ms, events);
    }

    /// As [`Row::add`], in one element of an array.
    pub fn add_element(&mut self, data_type: DataType, index: usize, now_ms: u64, events: u64) {
        let Some((place, index)) = self.find(data_type, index) else { return };
        let narrow = u32::try_from(events).unwrap_or(u32::MAX);
        let value = &mut self.values[place];
        let value = if let Value::Array(list) = value { list.get_mut(index) } else { Some(value) };
        match value {
            Some(Value::Signed(n)) => *n = n.saturating_add_unsigned(narrow),
            Some(Value::Unsigned(n)) => *n = n.saturating_add(narrow),
            Some(Value::Wide(n)) => *n = n.saturating_add(events),
            Some(Value::Rate(rate)) => rate.add(now_ms, self.columns[place].period_ms, narrow),
            Some(Value::Text(_) | Value::Array(_)) | None => {}
        }
    }

    /// Sets one element of an array, or the value of a type that is none, to a number; `None` where there is none.
    pub fn set_element(&mut self, data_type: DataType, index: usize, number: u32) -> Option<()> {
        let (place, index) = self.find(data_type, index)?;
        let value = &mut self.values[place];
        let value = if let Value::Array(list) = value { list.get_mut(index)? } else { value };
        if let Value::Unsigned(n) = value {
            *n = number;
        }
        Some(())
    }

    /// Counts one thing less, for `conn_cur`.
    pub fn decrement(&mut self, data_type: DataType) {
        if let Some(place) = self.place(data_type)
            && let Value::Unsigned(n) = &mut self.values[place]
        {
            *n = n.saturating_sub(1);
        }
    }

    /// Sets a value; nothing where the type is not stored or the kind does not fit. Of an array as many
    /// elements are taken as there are here: another node's may be longer.
    pub fn set(&mut self, data_type: DataType, value: Value) {
        let Some(place) = self.place(data_type) else { return };
        self.values[place].combine(value, &|_, _| true);
    }

    /// As [`Row::set`], where the new value is larger; a text only where there was none.
    pub fn raise(&mut self, data_type: DataType, value: Value, now_ms: u64) {
        let Some(place) = self.place(data_type) else { return };
        let period_ms = self.columns[place].period_ms;
        self.values[place].combine(value, &|old, new| {
            matches!(old, Value::Text(None)) || new.number(now_ms, period_ms) > old.number(now_ms, period_ms)
        });
    }

    /// The column of a type, and the element there: where a table has an array in place of the two old counters or the
    /// old tag, these are its first elements.
    fn find(&self, data_type: DataType, index: usize) -> Option<(usize, usize)> {
        if let Some(place) = self.place(data_type) {
            return Some((place, index));
        }
        let (_, array, first) = FIRST_ELEMENTS.into_iter().find(|(old, ..)| *old == data_type)?;
        Some((self.place(array)?, first))
    }

    fn place(&self, data_type: DataType) -> Option<usize> {
        self.columns.iter().position(|c| c.data_type == data_type)
    }
}
