//! A formula in a loop over rows: the same instructions, with inputs out of columns and results into columns.

use super::{Emitter, Place};
use crate::kind::{Facts, Kind, Signature};
use butterflyfx_formula::code::Code;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{self, AbiParam, Block, BlockArg, Function, InstBuilder, MemFlagsData};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

/// `fn(columns, constants, payloads, kinds, rows) -> steps`
pub(super) fn signature() -> ir::Signature {
    let mut signature = ir::Signature::new(CallConv::SystemV);
    signature.params.extend([AbiParam::new(I64); 5]);
    signature.returns.push(AbiParam::new(I64));
    signature
}

/// What the body of the loop knows.
pub(super) struct Loop {
    row: ir::Value,
    /// Where each column begins; nothing for inputs that are not there.
    columns: Vec<Option<ir::Value>>,
    payloads: ir::Value,
    kinds: ir::Value,
    /// Steps of all rows before.
    total: ir::Value,
    /// The end of the body, with the steps of all rows so far.
    latch: Block,
}

impl Loop {
    /// Where the payload of an input of this row is.
    pub(super) fn address(&self, builder: &mut FunctionBuilder<'_>, input: usize) -> Option<ir::Value> {
        let column = *self.columns.get(input)?.as_ref()?;
        let offset = builder.ins().ishl_imm_u(self.row, 3);
        Some(builder.ins().iadd(column, offset))
    }

    /// Stores a row's result, and goes on with the next row.
    pub(super) fn put(
        &self,
        builder: &mut FunctionBuilder<'_>,
        payload: ir::Value,
        kind: ir::Value,
        steps: ir::Value,
    ) {
        let offset = builder.ins().ishl_imm_u(self.row, 3);
        let to = builder.ins().iadd(self.payloads, offset);
        builder.ins().store(MemFlagsData::trusted(), payload, to, 0);
        let to = builder.ins().iadd(self.kinds, self.row);
        builder.ins().istore8(MemFlagsData::trusted(), kind, to, 0);
        let total = builder.ins().iadd(self.total, steps);
        builder.ins().jump(self.latch, &[BlockArg::Value(total)]);
    }
}

impl<'a, 'b> Emitter<'a, 'b> {
    pub(super) fn rows(
        function: &'b mut Function,
        buffers: &'b mut FunctionBuilderContext,
        code: Code<'a>,
        signature: Signature,
        facts: &'a [Facts],
    ) -> Emitter<'a, 'b> {
        let mut builder = FunctionBuilder::new(function, buffers);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let [columns_at, constants, payloads, kinds, rows] = {
            let given = builder.block_params(entry);
            [given[0], given[1], given[2], given[3], given[4]]
        };
        let zero = builder.ins().iconst(I64, 0);
        let columns = (0..code.parameters.len() + code.names.len())
            .map(|at| match signature.kind(at) {
                Kind::Absent | Kind::None => None,
                _ => {
                    let flags = MemFlagsData::trusted().with_readonly();
                    Some(builder.ins().load(I64, flags, columns_at, at as i32 * 8))
                }
            })
            .collect();
        let (head, body, latch, end) =
            (builder.create_block(), builder.create_block(), builder.create_block(), builder.create_block());
        let start = [BlockArg::Value(zero), BlockArg::Value(zero)];
        builder.ins().jump(head, &start);

        builder.switch_to_block(head);
        let row = builder.append_block_param(head, I64);
        let total = builder.append_block_param(head, I64);
        let has_more = builder.ins().icmp(IntCC::UnsignedLessThan, row, rows);
        builder.ins().brif(has_more, body, &[], end, &[]);

        builder.switch_to_block(latch);
        let total_after = builder.append_block_param(latch, I64);
        let next = builder.ins().iadd_imm_s(row, 1);
        let again = [BlockArg::Value(next), BlockArg::Value(total_after)];
        builder.ins().jump(head, &again);

        builder.switch_to_block(end);
        builder.ins().return_(&[total]);

        builder.switch_to_block(body);
        let place = Place::Rows(Loop { row, columns, payloads, kinds, total, latch });
        Emitter::new(builder, code, signature, facts, place, constants, zero)
    }
}
