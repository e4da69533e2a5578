// SPDX-License-Identifier: GPL-2.0-only
// Prints the decisions in a C file, a line each: its kind, the two ends of its text,
// those of the text that belongs to it, and the function that it is in.
// ./lab mutate runs it with spatch on each file that the series changes.

@initialize:python@
@@
def say(kind, p, q=None):
    q = q or p
    print("decision", kind, p[0].line, p[0].column, p[0].line_end, p[0].column_end,
          q[0].line, q[0].column, q[0].line_end, q[0].column_end, p[0].current_element)

@condition@
expression E;
statement S, T;
position p;
@@
(
 if (E@p) S else T
|
 while (E@p) S
|
 for (...; E@p; ...) S
)

@script:python@
p << condition.p;
@@
say("condition", p)

@conjunction@
expression A, B;
position p, q;
@@
 A@p && B@q

@script:python@
p << conjunction.p;
q << conjunction.q;
@@
say("and", p)
say("and", q)

@disjunction@
expression A, B;
position p, q;
@@
(
 A@p || B@q
|
 A@p | B@q
)

@script:python@
p << disjunction.p;
q << disjunction.q;
@@
say("or", p)
say("or", q)

@choice@
expression C, A, B;
position p, q;
@@
 C ? A@p : B@q

@script:python@
p << choice.p;
q << choice.q;
@@
say("choice", p, q)
say("choice", q, p)

@total@
expression A, B;
position p, q;
@@
(
 A@p + B@q
|
 A@p - B@q
)

@script:python@
p << total.p;
q << total.q;
@@
say("sum", p, q)

@lone@
expression E;
position p;
@@
 E@p;

@script:python@
p << lone.p;
@@
say("statement", p)

@argument@
expression list[n] es;
expression E;
identifier f;
position p;
@@
 f(es, E@p, ...)

@script:python@
p << argument.p;
@@
say("argument", p)

@result@
expression E;
position p;
@@
 return E@p;

@script:python@
p << result.p;
@@
say("result", p)

@named@
constant c;
position p;
@@
 c@p

@script:python@
p << named.p;
@@
say("constant", p)
