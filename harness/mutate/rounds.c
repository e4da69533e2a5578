// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel that is DMA_MUTANTS mutants has this behind its kernel/dma/mapping.c.
 *
 * dma_mutant=N makes it mutant N as soon as it knows its arguments; 0 is none.
 * When it reboots it says which mutants' places it came to.
 *
 * dma_mutants=N,M-O has KUnit run the test cases in rounds: one case after the
 * other with no mutant, and then for each of these mutants, in this order, those
 * cases that came to its place, fastest first, until one notices. That case has
 * to pass again without the mutant: else what the mutant has left behind would be
 * taken for the next one's doing, and the machine reboots.
 */
#include <kunit/test.h>
#include <linux/bug.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/notifier.h>
#include <linux/printk.h>
#include <linux/reboot.h>
#include <linux/sort.h>
#include <linux/timer.h>
#include <asm/sections.h>

#define PATIENCE	10	/* seconds that a test case may take longer than without a mutant */

struct round {
	struct kunit_suite *suite;
	struct kunit_case *test_case;
	s64 nsecs;
	DECLARE_BITMAP(reached, DMA_MUTANTS + 1);
};

unsigned int dma_mutant;
EXPORT_SYMBOL(dma_mutant);
unsigned char dma_mutant_reached[DMA_MUTANTS + 1];
EXPORT_SYMBOL(dma_mutant_reached);

static char *wanted;

static int __init dma_mutant_choose(char *word)
{
	return kstrtouint(word, 10, &dma_mutant);
}
early_param("dma_mutant", dma_mutant_choose);

static int __init dma_mutant_list(char *words)
{
	wanted = words;
	return 0;
}
early_param("dma_mutants", dma_mutant_list);

static int dma_mutant_report(struct notifier_block *nb, unsigned long event, void *data)
{
	unsigned int n;

	for (n = 0; n <= DMA_MUTANTS && !wanted; n++)
		if (dma_mutant_reached[n])
			pr_emerg("dma_mutant: reached %u\n", n);
	return NOTIFY_DONE;
}

static struct notifier_block dma_mutant_at_reboot = { .notifier_call = dma_mutant_report };

static int __init dma_mutant_init(void)
{
	return register_reboot_notifier(&dma_mutant_at_reboot);
}
late_initcall(dma_mutant_init);

#if IS_BUILTIN(CONFIG_KUNIT)
static void dma_mutant_hangs(struct timer_list *unused)
{
	pr_emerg("dma_mutant: %u hangs\n", dma_mutant);
	emergency_restart();
}

static DEFINE_TIMER(patience, dma_mutant_hangs);

/* What KUnit says of a test case when it runs alone. */
static enum kunit_status dma_mutant_run(struct round *this)
{
	struct kunit_case *other;

	kunit_suite_for_each_test_case(this->suite, other)
		other->status = other == this->test_case ? KUNIT_SUCCESS : KUNIT_SKIPPED;
	mod_timer(&patience, jiffies + nsecs_to_jiffies(4 * this->nsecs) +
		  (dma_mutant ? PATIENCE : 10 * PATIENCE) * HZ);
	__kunit_test_suites_init(&this->suite, 1, true);
	timer_delete_sync(&patience);
	return this->suite->suite_init_err ? KUNIT_FAILURE :
	       this->suite->status == KUNIT_SKIPPED ? KUNIT_SKIPPED : this->test_case->status;
}

static int dma_mutant_faster(const void *a, const void *b)
{
	const struct round *left = a, *right = b;

	return left->nsecs < right->nsecs ? -1 : left->nsecs > right->nsecs;
}

static unsigned int dma_mutant_prepare(struct kunit_suite * const *suites, size_t count,
				       struct round *rounds, unsigned int most)
{
	struct kunit_case *test_case;
	unsigned int nr = 0, n;
	struct round *this;
	ktime_t start;
	size_t i;

	for (i = 0; i < count; i++) {
		kunit_suite_for_each_test_case(suites[i], test_case) {
			if (nr == most)
				break;
			this = &rounds[nr];
			*this = (struct round){ .suite = suites[i], .test_case = test_case };
			memset(dma_mutant_reached, 0, sizeof(dma_mutant_reached));
			start = ktime_get();
			if (dma_mutant_run(this) != KUNIT_SUCCESS)
				continue;
			this->nsecs = ktime_to_ns(ktime_sub(ktime_get(), start));
			pr_emerg("dma_mutant: %s.%s takes %lld us\n", this->suite->name,
				 this->test_case->name, div_s64(this->nsecs, NSEC_PER_USEC));
			for (n = 1; n <= DMA_MUTANTS; n++)
				if (dma_mutant_reached[n])
					__set_bit(n, this->reached);
			nr++;
		}
	}
	sort(rounds, nr, sizeof(*rounds), dma_mutant_faster, NULL);
	return nr;
}

static void dma_mutant_try(unsigned int n, struct round *rounds, unsigned int nr)
{
	bool reached = false, good;
	struct round *this;

	console_loglevel = LOGLEVEL_NOTICE;	/* an oops makes it verbose */
	generic_bug_clear_once();
	memset(__start_once, 0, __end_once - __start_once);
	pr_emerg("dma_mutant: %u begins\n", n);
	for (this = rounds; this < rounds + nr; this++) {
		if (!test_bit(n, this->reached))
			continue;
		reached = true;
		dma_mutant = n;
		good = dma_mutant_run(this) == KUNIT_SUCCESS;
		dma_mutant = 0;
		if (good)
			continue;
		pr_emerg("dma_mutant: %u noticed by %s.%s\n", n, this->suite->name,
			 this->test_case->name);
		if (dma_mutant_run(this) == KUNIT_SUCCESS)
			break;
		pr_emerg("dma_mutant: %u leaves its traces\n", n);
		emergency_restart();
	}
	pr_emerg("dma_mutant: %u %s\n", n, reached ? "ends" : "is not reached");
}

bool dma_mutant_rounds(struct kunit_suite * const *suites, size_t count);

/* For KUnit, in place of running @suites: whether it was told to. */
bool dma_mutant_rounds(struct kunit_suite * const *suites, size_t count)
{
	unsigned int nr, most = 1000;
	struct round *rounds;
	int *list, i;

	if (!wanted)
		return false;
	rounds = kvcalloc(most, sizeof(*rounds), GFP_KERNEL);
	list = kcalloc(DMA_MUTANTS + 2, sizeof(*list), GFP_KERNEL);
	if (!rounds || !list)
		return true;
	nr = dma_mutant_prepare(suites, count, rounds, most);
	pr_emerg("dma_mutant: rounds of %u test cases\n", nr);
	get_options(wanted, DMA_MUTANTS + 2, list);
	for (i = 1; i <= list[0]; i++)
		if (list[i] > 0 && list[i] <= DMA_MUTANTS)
			dma_mutant_try(list[i], rounds, nr);
	kfree(list);
	kvfree(rounds);
	return true;
}
#endif
