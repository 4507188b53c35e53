//! Attributes.

use super::DamagedSpans;
use super::read::Reader;
use super::write::Writer;
use crate::model::span::{Attribute, Value};

const EMPTY: u8 = 0;
const STRING: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const INT: u8 = 4;
const DOUBLE: u8 = 5;
const BYTES: u8 = 6;
const LIST: u8 = 7;
const MAP: u8 = 8;

pub(super) fn write_all<'a>(writer: &mut Writer<'a, '_>, attributes: &'a [Attribute], depth: usize) {
    writer.count(attributes.len());
    for (name, value) in attributes {
        writer.name(name);
        write(writer, value, depth);
    }
}

pub(super) fn read_all(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<Attribute>, DamagedSpans> {
    if reader.is_outline() {
        return pass_all(reader, depth);
    }
    reader.many(|reader| Ok((reader.shared()?, read(reader, depth)?)))
}

/// Deeper values than the receivers take are written as empty ones.
fn write<'a>(writer: &mut Writer<'a, '_>, value: &'a Value, depth: usize) {
    match value {
        Value::String(text) => {
            writer.byte(STRING);
            writer.text(text);
        }
        Value::Bool(truth) => writer.byte(if *truth { TRUE } else { FALSE }),
        Value::Int(number) => {
            writer.byte(INT);
            writer.signed(*number);
        }
        Value::Double(number) => {
            writer.byte(DOUBLE);
            writer.raw(&number.to_le_bytes());
        }
        Value::Bytes(bytes) => {
            writer.byte(BYTES);
            writer.bytes(bytes);
        }
        Value::List(values) if depth < Value::MAX_DEPTH => {
            writer.byte(LIST);
            writer.count(values.len());
            for value in values {
                write(writer, value, depth + 1);
            }
        }
        Value::Map(values) if depth < Value::MAX_DEPTH => {
            writer.byte(MAP);
            write_all(writer, values, depth + 1);
        }
        Value::Empty | Value::List(_) | Value::Map(_) => writer.byte(EMPTY),
    }
}

fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Value, DamagedSpans> {
    if depth > Value::MAX_DEPTH {
        return Err(DamagedSpans);
    }
    Ok(match reader.byte()? {
        EMPTY => Value::Empty,
        STRING => Value::String(reader.text()?.to_owned()),
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        INT => Value::Int(reader.signed()?),
        DOUBLE => Value::Double(f64::from_le_bytes(reader.array()?)),
        BYTES => Value::Bytes(reader.bytes()?.to_vec()),
        LIST => Value::List(reader.many(|reader| read(reader, depth + 1))?),
        MAP => Value::Map(read_all(reader, depth + 1)?),
        _ => return Err(DamagedSpans),
    })
}

fn pass_all(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<Attribute>, DamagedSpans> {
    for _ in 0..reader.count()? {
        reader.name()?;
        pass(reader, depth)?;
    }
    Ok(Vec::new())
}

/// Passes over a value; what [`read`] refuses is refused here too.
fn pass(reader: &mut Reader<'_>, depth: usize) -> Result<(), DamagedSpans> {
    if depth > Value::MAX_DEPTH {
        return Err(DamagedSpans);
    }
    match reader.byte()? {
        EMPTY | FALSE | TRUE => {}
        STRING => {
            reader.text()?;
        }
        INT => {
            reader.signed()?;
        }
        DOUBLE => {
            reader.array::<8>()?;
        }
        BYTES => {
            reader.bytes()?;
        }
        LIST => {
            for _ in 0..reader.count()? {
                pass(reader, depth + 1)?;
            }
        }
        MAP => {
            pass_all(reader, depth + 1)?;
        }
        _ => return Err(DamagedSpans),
    }
    Ok(())
}
