"""Puts a plan together: which kernels run in which order on which tensors, and where each tensor lies."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tritloom.codegen.errors import ShapeError
from tritloom.codegen.ir.dtypes import u32
from tritloom.codegen.ir.template import KernelTemplate, Launch, Plan, PlanTensor
from tritloom.codegen.ir.tensor import Node, Shape
from tritloom.codegen.ir.tile import Mode
from tritloom.codegen.schedule.access import Accesses, accesses
from tritloom.codegen.schedule.blocks import COLUMN, table
from tritloom.codegen.schedule.build import Built, KernelMaker
from tritloom.codegen.schedule.elements import Cuts, Elements
from tritloom.codegen.schedule.explain import note
from tritloom.codegen.schedule.expressions import Element
from tritloom.codegen.schedule.fuse import Cluster, Program
from tritloom.codegen.schedule.groups import Group, children, group
from tritloom.codegen.schedule.memory import ALIGNMENT, lives, place
from tritloom.codegen.schedule.normalise import live, normalise
from tritloom.codegen.schedule.order import Step, order
from tritloom.codegen.schedule.special import copy_group, pack_group, scatter_add_kernel
from tritloom.codegen.schedule.storing import Storing
from tritloom.codegen.target import Target


@dataclass(eq=False, slots=True)
class Job:
    """One cluster on its way to a launch: the nodes that it stores and the stored nodes that it reads."""

    cluster: Cluster
    results: list[Node]
    reads: frozenset[Node]
    group: Group | None = None
    access: Accesses | None = None


class Planner:
    """Schedules one program."""

    def __init__(
        self,
        outputs: Sequence[Node],
        inputs: Sequence[Node],
        target: Target,
        donate: Mapping[int, int],
        maker: KernelMaker,
    ):
        self._target = target
        self._maker = maker
        self._inputs = {node: number for number, node in enumerate(inputs)}
        self._donated = dict(enumerate(inputs))
        self._outputs = normalise(outputs)
        self._donate = donate
        self._tensors: list[PlanTensor] = []
        self._tensor: dict[Node, int] = {}
        """The tensor of each input and stored node."""
        self._launches: list[Launch] = []
        self._notes: list[str] = []
        for node in live(self._outputs):
            if node.op == "input" and node not in self._inputs:
                raise ShapeError(
                    f"the program reads an input that is not bound: {node!r}", location=node.location
                )
        program = Program(self._outputs)
        self._stored = Storing(program).stored
        self._readable = self._stored | self._inputs.keys()
        self._jobs = self._make_jobs(program)
        for node in inputs:
            self._tensor[node] = self._new(node, "input")
        self._claims = self._claim()
        self._sequence = self._ordered()

    # jobs

    def _make_jobs(self, program: Program) -> list[Job]:
        results: dict[Cluster, list[Node]] = {}
        for node in program.nodes:
            if node in self._stored:
                results.setdefault(program.of(node), []).append(node)
        return [self._job(cluster, stored) for cluster, stored in results.items()]

    def _job(self, cluster: Cluster, results: list[Node]) -> Job:
        node = cluster.nodes[0]
        made: Group | None = None
        if node.op in ("kernel", "scatter_add"):
            reads = frozenset(self._memory_of(operand) for operand in node.inputs)
            return Job(cluster, results, reads)
        if node.op == "pack":
            elements = Elements(self._readable, frozenset(results), Cuts())
            made = pack_group(node, elements, self._target.layout)
        else:
            made = group(cluster, results, self._readable)
        loaded = (e.node for e in made.walk() if e.kind == "load" and e.node is not None)
        return Job(cluster, results, frozenset(loaded), made, accesses(made))

    def _memory_of(self, node: Node) -> Node:
        """The stored node or input in whose memory a node lies: itself, or what it is a reshape of."""
        while node not in self._stored and node not in self._inputs:
            (node,) = node.inputs
        return node

    # outputs

    def _claim(self) -> dict[Node, int]:
        """For each stored node that some output alone shows: the first such output."""
        claims: dict[Node, int] = {}
        for position, node in enumerate(self._outputs):
            base = self._memory_of(node)
            if base not in self._inputs:
                claims.setdefault(base, position)
        return claims

    def _donor(self, node: Node) -> Node | None:
        """The input whose memory an output takes over, of a stored node that is such an output."""
        position = self._claims.get(node)
        number = None if position is None else self._donate.get(position)
        if number is None:
            return None
        return self._donated[number] if self._donation_fits(node, number) else None

    # order

    def _ordered(self) -> list[Job]:
        jobs = self._jobs
        number = {node: i for i, job in enumerate(jobs) for node in job.results}
        steps = []
        for job in jobs:
            makes: dict[Hashable, int] = {
                node: 0 if node in self._claims or node.op == "kernel" else self._nbytes(node)
                for node in job.results
            }
            steps.append(Step(job.reads, makes))
        readers: dict[Node, list[int]] = {}
        for i, job in enumerate(jobs):
            for read in job.reads:
                readers.setdefault(read, []).append(i)
        for node in self._claims:
            donor = self._donor(node)
            if donor is not None:
                writer = number[node]
                for reader in readers.get(donor, ()):
                    if reader != writer and not self._depends(jobs, number, reader, writer):
                        steps[writer].after.add(reader)
        found = order(steps)
        if len(found) < len(jobs):
            # Two donations that wait for each other: they are then written through the arena.
            for step in steps:
                step.after.clear()
            found = order(steps)
        return [jobs[i] for i in found]

    @staticmethod
    def _depends(jobs: Sequence[Job], number: Mapping[Node, int], start: int, goal: int) -> bool:
        """Whether a job needs, directly or not, what another one makes."""
        stack, seen = [start], {start}
        first = jobs[goal].cluster.first
        while stack:
            job = jobs[stack.pop()]
            if job.cluster.final < first:
                continue
            for read in job.reads:
                before = number.get(read)
                if before == goal:
                    return True
                if before is not None and before not in seen:
                    seen.add(before)
                    stack.append(before)
        return False

    # tensors

    def _nbytes(self, node: Node) -> int:
        if node.dtype.is_ternary:
            return self._target.layout.nbytes(node.shape[0], node.shape[1])
        return node.size * node.dtype.nbytes

    def _new(self, node: Node, role: str) -> int:
        self._tensors.append(PlanTensor(node.shape, node.dtype, max(self._nbytes(node), 1), role))
        return len(self._tensors) - 1

    def _fresh(self, node: Node) -> int:
        """A tensor of its own for a result: in the arena, or the output that shows it."""
        position = self._claims.get(node)
        if position is None or position in self._donate:
            return self._new(node, "arena")
        return self._new(self._outputs[position], "output")

    # launches

    def plan(self) -> Plan:
        """The finished plan."""
        remaining: dict[Node, int] = {}
        for job in self._sequence:
            for read in job.reads:
                remaining[read] = remaining.get(read, 0) + 1
        for position, node in enumerate(self._outputs):
            base = self._memory_of(node)
            if base in self._inputs and self._donate.get(position) != self._inputs[base]:
                remaining[base] = remaining.get(base, 0) + 1  # a copy at the end
        for job in self._sequence:
            for read in job.reads:
                remaining[read] -= 1
            self._launch(job, remaining)
        outputs = self._finish()
        return self._placed(outputs)

    def _launch(self, job: Job, remaining: Mapping[Node, int]) -> None:
        node = job.cluster.nodes[0]
        if node.op == "kernel":
            self._call(job, remaining)
            return
        same: dict[Node, Node] = {}
        for result in job.results:
            donor = self._donor(result)
            alone = donor is not None and remaining.get(donor, 0) == 0 and donor not in same.values()
            if donor is not None and alone and self._over(job, result, donor):
                self._tensor[result] = self._tensor[donor]
                if donor in job.reads:
                    same[result] = donor
                continue
            self._tensor[result] = self._fresh(result)
        if node.op == "scatter_add":
            self._scatter(job, node)
            return
        assert job.group is not None
        assert job.access is not None
        built = self._maker.make(job.group, job.access, same)
        self._run(built, job)

    @staticmethod
    def _over(job: Job, result: Node, donor: Node) -> bool:
        """Whether a kernel may write a result over a tensor that it reads: each element is read where it is written."""
        if donor not in job.reads:
            return True
        if job.group is None or job.access is None:
            return False
        found = job.access
        place = next(
            dims for write, dims in zip(job.group.writes, found.writes, strict=True) if write.node is result
        )
        if any(e.node is donor and (dims != place or e.operands) for e, dims in found.loads.items()):
            return False
        reduced = [o for e in job.group.walk() if e.ranges for o in e.operands]
        others = (
            [w.value for w in job.group.writes if w.node is not result] if job.group.kind == "row" else []
        )
        return not _reads(reduced, donor) and not _reads(others, donor)

    def _run(self, built: Built, job: Job) -> None:
        tensors = tuple(self._tensor[node] for node in built.tensors)
        launch = Launch(built.kernel, tensors, built.sizes)
        self._launches.append(launch)
        self._notes.append(note(launch, self._tensors, job.cluster.nodes, job.group))

    def _scatter(self, job: Job, node: Node) -> None:
        ids, rows = (self._memory_of(operand) for operand in node.inputs)
        count = node.inputs[0].size
        width = rows.size // count
        kernel = scatter_add_kernel(table(self._target, COLUMN, 1).columns)
        tensors = (self._tensor[ids], self._tensor[rows], self._tensor[node])
        launch = Launch(kernel, tensors, {"I": count, "C": width, "V": node.shape[0]})
        self._launches.append(launch)
        self._notes.append(note(launch, self._tensors, job.cluster.nodes, None))

    def _call(self, job: Job, remaining: Mapping[Node, int]) -> None:
        node = job.cluster.nodes[0]
        template: KernelTemplate = node.attribute("template")
        items = {n.attribute("index"): n for n in job.results if n.op == "item"}
        shapes: dict[str, Shape] = {}
        bound: dict[str, int] = {}
        operands = iter(node.inputs)
        result = 0
        outs: list[tuple[str, int]] = []
        for parameter in template.tensors:
            if parameter.mode is not Mode.OUT:
                operand = next(operands)
                shapes[parameter.name] = operand.shape
                source = self._memory_of(operand)
                bound[parameter.name] = self._tensor[source]
                if parameter.mode is Mode.INOUT:
                    bound[parameter.name] = self._update(node, items.get(result), source, remaining)
                    result += 1
            else:
                outs.append((parameter.name, result))
                result += 1
        for name, number in outs:
            bound[name] = self._result(node, items.get(number), number, remaining)
        sizes = template.sizes(shapes)
        configuration = {**template.default(sizes, self._target), **dict(node.attribute("configuration"))}
        kernel = template.build(configuration, sizes, self._target)
        values = dict(zip((s.name for s in template.scalars), node.attribute("scalars"), strict=True))
        launch = Launch(
            kernel,
            tuple(bound[buffer.name] for buffer in kernel.buffers),
            {size.name: sizes[size.name] for size in kernel.sizes},
            tuple(values[scalar.name] for scalar in kernel.scalars),
        )
        self._launches.append(launch)
        self._notes.append(note(launch, self._tensors, [node], None))

    def _result(self, kernel: Node, item: Node | None, number: int, remaining: Mapping[Node, int]) -> int:
        """The tensor of a kernel's OUT parameter."""
        if item is None:
            shape, dtype = kernel.attribute("results")[number]
            unread = Node("item", (kernel,), (("index", number),), shape, dtype, kernel.location, -1)
            return self._new(unread, "arena")
        donor = self._donor(item)
        reads = [self._memory_of(operand) for operand in kernel.inputs]
        if donor is not None and remaining.get(donor, 0) == 0 and donor not in reads:
            self._tensor[item] = self._tensor[donor]
        else:
            self._tensor[item] = self._fresh(item)
        return self._tensor[item]

    def _update(self, kernel: Node, item: Node | None, source: Node, remaining: Mapping[Node, int]) -> int:
        """The tensor of a kernel's INOUT parameter: the operand's own if no one needs its old value, else a copy."""
        reads = [self._memory_of(operand) for operand in kernel.inputs]
        dead = remaining.get(source, 0) == 0 and reads.count(source) == 1
        tensor = self._tensor[source]
        if source in self._inputs:
            keep = dead and item is not None and self._donor(item) is source
        else:
            keep = dead and source not in self._claims and (item is None or item not in self._claims)
        if not keep:
            tensor = self._fresh(item) if item is not None else self._new(source, "arena")
            self._copy(self._tensor[source], tensor)
        if item is not None:
            self._tensor[item] = tensor
        return tensor

    def _copy(self, source: int, result: int) -> None:
        tensor = self._tensors[source]
        if tensor.dtype.is_ternary:
            shape: Shape = (tensor.nbytes // u32.nbytes,)
            dtype = u32
        else:
            shape, dtype = tensor.shape, tensor.dtype
        a = Node("copy", (), (), shape, dtype, None, -1)
        b = Node("copy", (a,), (), shape, dtype, None, -1)
        made = copy_group(a, b, Elements((), frozenset(), Cuts()))
        built = self._maker.make(made, accesses(made))
        numbers = {a: source, b: result}
        launch = Launch(built.kernel, tuple(numbers[n] for n in built.tensors), built.sizes)
        self._launches.append(launch)
        self._notes.append(note(launch, self._tensors, [b], None))

    # the end

    def _finish(self) -> list[int]:
        """The tensor of each output; copies what is not in its place yet."""
        found: list[int] = []
        late: list[tuple[int, int]] = []
        for position, node in enumerate(self._outputs):
            base = self._memory_of(node)
            tensor = self._tensor[base]
            donated = self._donate.get(position)
            mine = base not in self._inputs and self._claims[base] == position
            if donated is not None and self._donation_fits(node, donated):
                target = self._tensor[self._donated[donated]]
                if tensor != target:
                    if self._tensors[tensor].role != "arena":
                        aside = self._new(base, "arena")
                        self._copy(tensor, aside)
                        tensor = aside
                    late.append((tensor, target))
                found.append(target)
            elif mine and self._tensors[tensor].role == "output":
                found.append(tensor)
            else:
                made = self._new(node, "output")
                self._copy(tensor, made)
                found.append(made)
        for source, goal_tensor in late:
            self._copy(source, goal_tensor)
        return found

    def _donation_fits(self, node: Node, number: int) -> bool:
        """Whether an input's memory holds a result."""
        donor = self._donated[number]
        same = donor.dtype is node.dtype and donor.size == node.size
        return same and (not node.dtype.is_ternary or donor.shape == node.shape)

    def _placed(self, outputs: list[int]) -> Plan:
        sizes = {n: t.nbytes for n, t in enumerate(self._tensors) if t.role == "arena"}
        offsets, total = place(lives([launch.tensors for launch in self._launches], sizes), ALIGNMENT)
        tensors = tuple(
            PlanTensor(t.shape, t.dtype, t.nbytes, t.role, offsets.get(n, 0))
            for n, t in enumerate(self._tensors)
        )
        inputs = tuple(self._tensor[node] for node in self._donated.values())
        return Plan(tensors, inputs, tuple(outputs), tuple(self._launches), total, tuple(self._notes))


def _reads(roots: Iterable[Element], node: Node) -> bool:
    """Whether elements read a tensor."""
    seen: set[Element] = set()
    stack = list(roots)
    while stack:
        element = stack.pop()
        if element.node is node:
            return True
        if element not in seen:
            seen.add(element)
            stack.extend(children(element))
    return False
