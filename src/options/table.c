/* The library's options, one line each. The program's arguments, help, manual page and completion, and options in other
 * languages are made from these lines. An option is a field of its struct in rubato.h and a line here. */
#include "options/table.h"

#include "train/recipe.h"

OPTION_CHOICES(eval_tasks, "classification", "regression", "tagging", "qa", "sts", "retrieval", "mlm", "lm")
OPTION_CHOICES(train_tasks, "classification", "regression", "tagging", "qa", "sts", "retrieval", "mlm", "lm", "text")
OPTION_CHOICES(search_tasks, "classification", "regression", "tagging", "qa", "sts")
OPTION_CHOICES(precisions, "f32", "bf16", "int8", "f32+int8", "f32+bf16")
OPTION_CHOICES(one_precision, "f32", "bf16", "int8")
OPTION_CHOICES(float_precision, "f32", "bf16")
OPTION_CHOICES(instruction_sets, "scalar", "neon", "dotprod", "i8mm", "avx2", "avxvnni", "avx512", "vnni", "bf16",
               "amx", "untiled")
OPTION_CHOICES(aggregations, "entities", "none", "simple", "first", "average", "max")
OPTION_CHOICES(activations, "softmax", "sigmoid", "none")
OPTION_CHOICES(truncations, "longest_first", "only_first", "only_second")
OPTION_CHOICES(stored_types, "f32", "f16", "bf16")
OPTION_CHOICES(divergences, "sub", "full")
OPTION_CHOICES(significances, "received", "others", "random", "first")
OPTION_CHOICES(search_costs, "flops", "ms")
OPTION_CHOICES(prune_units, "structure", "weights", "quads", "blocks")
OPTION_CHOICES(objectives, "mlm", "mlm+nsp")
OPTION_CHOICES(vocabulary_kinds, "wordpiece", "bpe", "unigram")

#define DATA_HELP ": .tsv, .csv, .jsonl, SQuAD .json or CoNLL"
#define COLUMNS_HELP "names of the data's columns, as text=NAME,pair=NAME,label=NAME"
#define COLUMNS_STANDARD "by their common names"
#define LIMIT_HELP "use N examples only, drawn by the seed; each label keeps its share"
#define OVERWRITE_HELP "replace a model in --out; without this option, that is refused"
#define THREADS_STANDARD "as many as affinity and the container allow"
#define ISA_HELP "instruction set of the kernels; untiled: the best one but amx"
#define ISA_STANDARD "the best of this machine"
#define MAX_LENGTH_HELP "longest sequence in tokens, special tokens included"

#define OPTION_SECTION "Cost and speed"
#define OPTION_OWNER rubato_load_options
static const rubato_option load_table[] = {
    TEXT_OPTION(precision, precision, "P", precisions, "as the model is stored",
                "number format of the matrix products; f32+int8: both, and operating points choose"),
    FLAG_OPTION(in_memory, in_memory,
                "read the weights into memory, so that the model's files may be overwritten meanwhile"),
};

#undef OPTION_OWNER
#define OPTION_OWNER rubato_context_options
static const rubato_option context_table[] = {
    SIZE_OPTION(threads, threads, THREADS_STANDARD, "threads to use"),
    SIZE_OPTION(batch_tokens, batch_tokens, "192 or 512, by the model's size",
                "tokens that one thread packs into a batch; limits the memory"),
    TEXT_OPTION(isa, isa, "NAME", instruction_sets, ISA_STANDARD, ISA_HELP),
};

#undef OPTION_OWNER
#define OPTION_OWNER rubato_options
static const rubato_option run_table[] = {
    TEXT_OPTION(budget, budget, "B", NULL, "full",
                "the most that an answer may cost: full, 0.4x, 8ms, drop:0.5 or @NAME; see BUDGETS in the manual"),
    FLAG_OPTION(strict, strict, "every single text keeps the budget; without this option, texts keep it on average"),
#undef OPTION_SECTION
#define OPTION_SECTION "Texts"
    TEXT_OPTION(prompt_text, prompt, "TEXT", NULL, "the model's default prompt", "text to put before every text"),
#undef OPTION_SECTION
#define OPTION_SECTION "Answers"
    TEXT_OPTION(aggregation, aggregation, "NAME", aggregations, "entities",
                "how tokens become entities: by their words, or as in transformers; none: every token is one"),
    TEXT_OPTION(function_to_apply, function_to_apply, "F", activations, "by the model",
                "function that makes scores of the model's outputs"),
    TEXT_OPTION(ignore_labels, ignore_labels, "LIST", NULL, "O", "labels that give no entity, as O,MISC"),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Texts"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_text_options
static const rubato_option text_table[] = {
    SIZE_OPTION(max_length, max_length, "the model's; tokenize: none", MAX_LENGTH_HELP),
    CHOICE_OPTION(truncation, rubato_truncation, truncation, "HOW", truncations, "longest_first",
                  "the text of a pair that is cut when both are too long"),
    FLAG_OPTION(left, cut_left, "cut the beginning of a text that is too long, not its end"),
    FLAG_OPTION(windows, windows,
                "read a text that is too long in windows, and join their results, instead of cutting it"),
    SIZE_OPTION(stride, stride, "tag, --late: a quarter of the window; answers: 128; else none",
                "tokens that neighbouring windows of a long text share"),
    FLAG_OPTION(no_special, no_special, "leave out special tokens such as [CLS] and [SEP]"),
    FLAG_OPTION(special_as_text, special_as_text, "read special tokens in a text, such as [SEP], as plain characters"),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Data"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_eval_options
static const rubato_option eval_table[] = {
    TEXT_OPTION(task, task, "TASK", eval_tasks, NULL, "task of the data"),
    TEXT_OPTION(data, data, "FILE", NULL, NULL, "labelled data" DATA_HELP "; a folder in BEIR layout for retrieval"),
    TEXT_OPTION(columns, columns, "LIST", NULL, COLUMNS_STANDARD, COLUMNS_HELP),
    SIZE_OPTION(limit, limit, "all", LIMIT_HELP),
    SEED_OPTION(seed, seed, "seed of the tokens that mlm masks"),
};

#undef OPTION_OWNER
#define OPTION_OWNER rubato_train_options
static const rubato_option train_table[] = {
    TEXT_OPTION(task, task, "TASK", train_tasks, NULL, "task to learn; text: what a teacher makes of texts"),
    TEXT_OPTION(data, data, "FILE", NULL, NULL, "training data" DATA_HELP),
    TEXT_OPTION(dev, dev, "FILE", NULL, NULL,
                "data for evaluation: the weights that are best on it are kept; without it the last ones"),
    TEXT_OPTION(columns, columns, "LIST", NULL, COLUMNS_STANDARD, COLUMNS_HELP),
    TEXT_OPTION(labels, labels, "LIST", NULL, "the data's", "names of the labels in order, as negative,positive"),
    FLAG_OPTION(new_head, new_head, "give a model with other labels a new head; without this option, that is refused"),
    FLAG_OPTION(pool_attention, pool_attention,
                "classification, regression: the head reads a learned row that sees all rows, not one of them"),
    SIZE_OPTION(limit, limit, "all", LIMIT_HELP),
    FLAG_OPTION(keep_order, keep_order, "take the examples in the file's order, without shuffling"),
    SIZE_OPTION(max_length, max_length, "the model's", MAX_LENGTH_HELP),
#undef OPTION_SECTION
#define OPTION_SECTION "Result"
    TEXT_OPTION(out, out, "DIR", NULL, NULL, "folder of the trained model and of checkpoints"),
    TEXT_OPTION(store, store, "TYPE", stored_types, "f32", "number format of the written weights"),
    SIZE_OPTION(eval_steps, eval_steps, "four evaluations in each epoch", "steps between evaluations"),
    SIZE_OPTION(checkpoint_steps, checkpoint_steps, "at every evaluation", "steps between checkpoints"),
    FLAG_OPTION(resume, resume, "continue the run in --out from its last checkpoint, bit for bit"),
    FLAG_OPTION(overwrite, overwrite, OVERWRITE_HELP),
    FLAG_OPTION(keep_state, keep_state, "keep the optimiser's state in --out when the run has ended"),
#undef OPTION_SECTION
#define OPTION_SECTION "Training"
    TEXT_OPTION(recipe, recipe, "NAME", recipe_name, "finetune",
                "training method; docs/anytime.md and docs/compression.md describe them"),
    REAL_OPTION(epochs, epochs, "by the recipe", "passes over the data"),
    SIZE_OPTION(steps, steps, "by --epochs", "steps of each phase, in place of --epochs"),
    REAL_OPTION(rate, rate, "by the recipe; without weights 5e-4", "learning rate"),
    SIZE_OPTION(batch_size, batch, "32", "examples in a step"),
    SIZE_OPTION(micro_tokens, micro_tokens, "8192", "tokens in one pass; a longer step is run in parts"),
    REAL_OPTION(warm_up, warm_up, "by the recipe", "share of the steps in which the learning rate rises"),
    REAL_OPTION(decay, decay, "by the recipe", "weight decay"),
    REAL_OPTION(clip, clip, "1", "largest norm of the gradient; 0: no limit"),
    REAL_OPTION(dropout, dropout, "config.json's, else 0.1", "dropout rate"),
    TEXT_OPTION(teacher, teacher, "MODEL", NULL, NULL,
                "model whose answers replace the labels; the data then need no labels"),
    REAL_OPTION(match_states, match_states, "0; dynabert, anytime, distilbert: 1",
                "weight of the distance from the teacher's hidden states"),
    TEXT_OPTION(precision, precision, "P", one_precision, "f32",
                "number format of the matrix products; int8: the products of a quantised model"),
    SIZE_OPTION(threads, threads, THREADS_STANDARD, "threads to use"),
    TEXT_OPTION(isa, isa, "NAME", instruction_sets, ISA_STANDARD, ISA_HELP),
    SEED_OPTION(seed, seed, "seed of shuffling, dropout and new weights"),
#undef OPTION_SECTION
#define OPTION_SECTION "Pre-training (--task mlm)"
    TEXT_OPTION(objective, objective, "NAME", objectives, "mlm",
                "running text: mlm takes consecutive sentences, mlm+nsp BERT's pairs of texts"),
    FLAG_OPTION(whole_words, whole_words, "mask all tokens of a word or none"),
    BETWEEN_OPTION(mask_share, mask_share, 0, 1, "0.15", "part of the tokens that is masked"),
    TEXT_OPTION(tokenizer, tokenizer, "DIR", NULL, "the model's",
                "folder with the tokenizer of a model that begins without weights"),
    TEXT_OPTION(generator, generator, "MODEL", NULL, "a quarter of the model's width",
                "electra: the model that proposes tokens, or its config.json"),
#undef OPTION_SECTION
#define OPTION_SECTION "Students of a teacher (distilbert, tinybert, minilm, minilmv2, mobilebert, theseus)"
    REAL_OPTION(soft, soft, "by the recipe", "weight of the teacher's answers"),
    REAL_OPTION(hard, hard, "by the recipe", "weight of the labels"),
    REAL_OPTION(temperature, temperature, "2; tinybert: 1", "divides the logits whose answers are compared"),
    REAL_OPTION(layer_epochs, layer_epochs, "as --epochs; tinybert: 10; mobilebert: 1",
                "passes over the data before answers are learnt; mobilebert: for each layer"),
    SIZE_OPTION(relation_heads, relation_heads, "the most up to 48 that divide both widths",
                "minilmv2: parts into which queries, keys and values are divided"),
    SIZE_OPTION(teacher_layer, teacher_layer, "the last", "minilmv2: the teacher's layer to learn from, from 1 on"),
    REAL_OPTION(replace, replace, "0.3", "theseus: part of the teacher's layers that is replaced at first"),
    REAL_OPTION(replace_to, replace_to, "1", "theseus: the same at the end of the first phase"),
#undef OPTION_SECTION
#define OPTION_SECTION "Pruning (magnitude, movement, soft-movement, importance, l0, cofi)"
    BETWEEN_OPTION(keep, keep, 0, 1, "0.5", "part of the layers' weights that stays"),
    TEXT_OPTION(unit, unit, "UNIT", prune_units, "structure",
                "what leaves together: heads and neurons, single weights, four weights, blocks of 32 x 32"),
    REAL_OPTION(score_rate, score_rate, "1e-2; l0, cofi: 1e-1", "learning rate of the scores by which units leave"),
    REAL_OPTION(penalty, penalty, "100", "soft-movement: penalty of scores, which decides how much leaves"),
#undef OPTION_SECTION
#define OPTION_SECTION "Smaller models within the model (length-adaptive, power-bert, slimmable, dynabert, anytime)"
    REAL_OPTION(length_drop, length_drop, "0.2; anytime: 0.3", "largest share of rows that a layer drops"),
    REAL_OPTION(layer_drop, layer_drop, "0.2; anytime: 0.1", "probability that a layer is left out"),
    INTEGER_OPTION(merges, merges, 1000, "0; anytime: half of the layers",
                   "largest number of layers in which neighbouring rows merge"),
    TEXT_OPTION(widths, widths, "LIST", NULL, "1,0.75,0.5,0.25", "parts of heads and neurons, falling from 1"),
    SIZE_OPTION(sandwiches, sandwiches, "2", "random smaller models in a step"),
    FLAG_OPTION(no_distillation, no_distillation, "smaller models learn from the labels, not from the full model"),
    CHOICE_OPTION(divergence, int, divergence_from_full, "HOW", divergences, "sub",
                  "sub: KL(sub || full), full: KL(full || sub)"),
    TEXT_OPTION(significance, significance, "HOW", significances, "received",
                "the measure that decides which rows stay"),
    FLAG_OPTION(refine, refine, "train at the points that a search found instead of random ones"),
    REAL_OPTION(refine_from, refine_from, NULL,
                "refine only points that cost at least this part of the full model's operations"),
    REAL_OPTION(refine_to, refine_to, NULL,
                "refine only points that cost at most this part of the full model's operations"),
    REAL_OPTION(soft_rate, soft_rate, "1e-3", "power-bert: learning rate of the factors of rows"),
    REAL_OPTION(soft_penalty, soft_penalty, "1e-3", "power-bert: penalty for rows that stay"),
#undef OPTION_SECTION
#define OPTION_SECTION "Early exits (branchynet, deebert, right-tool, fastbert, pabee, act, tokee, anytime)"
    FLAG_OPTION(frozen, frozen, "train only the exits; the model stays as it is"),
    TEXT_OPTION(exit_layers, exit_layers, "LIST", NULL, "by the recipe", "layers that get an exit, from 0 on, as 1,3"),
    FLAG_OPTION(exit_mean, exit_mean,
                "exits read the mean of all rows instead of the first row (not for students or taggers)"),
    REAL_OPTION(ponder, ponder, "0.01", "act: price of each layer"),
#undef OPTION_SECTION
#define OPTION_SECTION "Memory"
    REAL_OPTION(memory_rate, memory_rate, "1e-3", "learning rate of the memories' values, the same in all steps"),
    FLAG_OPTION(memory_dense, memory_dense,
                "all values that were ever touched move in each step; without this option, only those that it touches"),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Result"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_trim_options
static const rubato_option trim_table[] = {
    TEXT_OPTION(out, out, "DIR", NULL, NULL, "folder of the smaller model"),
    TEXT_OPTION(layers, layers, "LIST", NULL, "all",
                "layers that stay, from 0 on, as 0,2,5; a layer may be named twice"),
    TEXT_OPTION(drop, drop, "HOW", NULL, NULL,
                "layers to remove: top:K, bottom:K, odd:K, even:K, symmetric:K or, with --data, contribution:COSINE"),
    FLAG_OPTION(empty, empty, "remove heads and neurons that pruning made 0; the answers stay the same"),
    SIZE_OPTION(vocabulary, vocabulary, "all",
                "word pieces that stay: special tokens, single characters, and the most frequent ones of --data"),
    SIZE_OPTION(positions, positions, "the model's", "longest sequence in tokens"),
    SIZE_OPTION(
        embedding, embedding, "the model's",
        "features of a word embedding, which a projection widens; words that are frequent in --data change least"),
    TEXT_OPTION(store, store, "TYPE", stored_types, "f32", "number format of the written weights"),
    FLAG_OPTION(overwrite, overwrite, OVERWRITE_HELP),
#undef OPTION_SECTION
#define OPTION_SECTION "Data"
    TEXT_OPTION(data, data, "FILE", NULL, NULL, "texts whose words are counted" DATA_HELP),
    TEXT_OPTION(columns, columns, "LIST", NULL, COLUMNS_STANDARD, COLUMNS_HELP),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Result"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_convert_options
static const rubato_option convert_table[] = {
    TEXT_OPTION(out, out, "DIR", NULL, NULL, "folder of the converted model"),
    TEXT_OPTION(attention, attention, "SETTING", NULL, "the model's",
                "a mechanism (docs/attention.md), as longformer, bigbird, linear or performer, perhaps with its "
                "settings: longformer,window=256"),
    TEXT_OPTION(layers, layers, "LIST", NULL, "all",
                "layers that get the attention, or, with --memory, the memories, as 4,8; the first layer is 0"),
    SIZE_OPTION(max_length, positions, "the model's",
                "longest sequence in tokens; positions beyond the model's begin as copies of its own"),
    TEXT_OPTION(store, store, "TYPE", stored_types, "f32", "number format of the written weights"),
    FLAG_OPTION(overwrite, overwrite, OVERWRITE_HELP),
#undef OPTION_SECTION
#define OPTION_SECTION "Memory"
    TEXT_OPTION(memory, memory, "FORM", NULL, "the model's",
                "product-key memories (docs/memory.md): res, beside feed-forward parts; pkm, instead of them; after, "
                "behind layers; none: without the model's; perhaps with settings: "
                "res,heads=4,selected=32,query=256,shared=true,gated=true"),
    FLAG_OPTION(zero_values, zero_values,
                "the values begin as zeros, so that the model answers as before until it has learned"),
    SEED_OPTION(seed, seed, "seed of the memories' weights"),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Result"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_quantize_options
static const rubato_option quantize_table[] = {
    TEXT_OPTION(to, to, "P", one_precision, NULL, "number format of the result; f32 converts back"),
    TEXT_OPTION(out, out, "DIR", NULL, NULL, "folder of the result"),
    FLAG_OPTION(overwrite, overwrite, OVERWRITE_HELP),
    BETWEEN_OPTION(smooth, smooth, 0, 1, "no smoothing",
                   "int8, with --data: strength with which outliers of the inputs are moved into the weights, as 0.5"),
    BETWEEN_OPTION(max_drop, max_drop, 0, 100, "no limit",
                   "int8, with --data: points of quality that may be lost; layers stay in bf16 as needed"),
#undef OPTION_SECTION
#define OPTION_SECTION "Data"
    TEXT_OPTION(task, task, "TASK", eval_tasks, NULL, "task of the data"),
    TEXT_OPTION(data, data, "FILE", NULL, NULL, "labelled data to judge by" DATA_HELP),
    TEXT_OPTION(columns, columns, "LIST", NULL, COLUMNS_STANDARD, COLUMNS_HELP),
    SIZE_OPTION(max_length, max_length, "the model's", MAX_LENGTH_HELP),
#undef OPTION_SECTION
#define OPTION_SECTION "Cost and speed"
    SIZE_OPTION(threads, threads, THREADS_STANDARD, "threads to use"),
    TEXT_OPTION(isa, isa, "NAME", instruction_sets, ISA_STANDARD, ISA_HELP),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Data"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_search_options
static const rubato_option search_table[] = {
    TEXT_OPTION(task, task, "TASK", search_tasks, NULL, "task of the data"),
    TEXT_OPTION(data, data, "FILE", NULL, NULL, "labelled data to choose points by" DATA_HELP),
    TEXT_OPTION(holdout, holdout, "FILE", NULL, "half of --data",
                "labelled data on which no point is chosen; the qualities of the frontier are from them"),
    TEXT_OPTION(unlabelled, unlabelled, "FILE", NULL, NULL,
                "classification: more texts to choose points by, as far as they agree with the full model"),
    TEXT_OPTION(columns, columns, "LIST", NULL, COLUMNS_STANDARD, COLUMNS_HELP),
    SIZE_OPTION(limit, limit, "all", LIMIT_HELP),
    SIZE_OPTION(max_length, max_length, "the model's", MAX_LENGTH_HELP),
#undef OPTION_SECTION
#define OPTION_SECTION "Result"
    TEXT_OPTION(out, out, "DIR", NULL, "the model's", "folder for rubato.json and frontier.svg"),
    FLAG_OPTION(resume, resume, "do not repeat evaluations that search.jsonl in that folder has"),
    FLAG_OPTION(overwrite, overwrite, "replace the points of an earlier search; without this option, that is refused"),
#undef OPTION_SECTION
#define OPTION_SECTION "Search"
    TEXT_OPTION(cost, cost, "C", search_costs, "flops",
                "cost for the search: operations, or milliseconds by this machine's cost model"),
    TEXT_OPTION(axes, axes, "LIST", NULL, "lengths, and all axes for which the model was trained",
                "axes along which points may differ, of lengths,merges,depth,widths,exits,precision,memory"),
    BETWEEN_OPTION(lowest, lowest, 0, 1, "0.15", "cheapest cost of interest, as a part of the full model's"),
    SIZE_OPTION(iterations, iterations, "15", "rounds"),
    SIZE_OPTION(mutations, mutations, "20", "new candidates in each round by mutation"),
    SIZE_OPTION(crossovers, crossovers, "20", "new candidates in each round by crossover of two"),
    SWITCH_OPTION(depth, depth, "where LayerDrop was trained", "whether points may leave layers out"),
    SEED_OPTION(seed, seed, "seed of the candidates"),
#undef OPTION_SECTION
#define OPTION_SECTION "Cost and speed"
    TEXT_OPTION(precision, precision, "P", precisions, "as the model is stored",
                "number format of the matrix products; f32+int8 with --cost ms: points in either"),
    SIZE_OPTION(threads, threads, THREADS_STANDARD, "threads to use"),
    TEXT_OPTION(isa, isa, "NAME", instruction_sets, ISA_STANDARD, ISA_HELP),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Download"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_pull_options
static const rubato_option pull_table[] = {
    TEXT_OPTION(revision, revision, "NAME", NULL, "main", "branch, tag or commit"),
    FLAG_OPTION(offline, offline, "use only the cache; also HF_HUB_OFFLINE=1"),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Vocabulary"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_vocabulary_options
static const rubato_option vocabulary_table[] = {
    TEXT_OPTION(out, out, "DIR", NULL, NULL, "folder of the tokenizer's files"),
    TEXT_OPTION(kind, kind, "KIND", vocabulary_kinds, "wordpiece",
                "wordpiece: BERT's tokenizer; bpe: RoBERTa's, which knows every text by its bytes; "
                "unigram: XLM-RoBERTa's, the pieces that make the text most probable"),
    SIZE_OPTION(tokens, tokens, "30000, bpe: 50000", "size of the vocabulary, special tokens included"),
    SIZE_OPTION(min_count, min_count, "2", "wordpiece, bpe: pairs of tokens that are rarer do not become one token"),
    SIZE_OPTION(alphabet, alphabet, "a third of --tokens",
                "wordpiece, unigram: the most characters; rarer ones are unknown"),
    FLAG_OPTION(cased, cased, "wordpiece, unigram: keep upper case, and accents"),
    SIZE_OPTION(max_length, max_length, "512", "longest sequence in tokens that the files name"),
    FLAG_OPTION(overwrite, overwrite, "replace a tokenizer or model in --out; without this option, that is refused"),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Data"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_adapt_options
static const rubato_option adapt_table[] = {
    TEXT_OPTION(task, task, "TASK", search_tasks, NULL, "task to learn"),
    TEXT_OPTION(data, data, "FILE", NULL, NULL, "training data" DATA_HELP),
    TEXT_OPTION(dev, dev, "FILE", NULL, NULL, "labelled data: one half chooses, the other tells the quality"),
    TEXT_OPTION(unlabelled, unlabelled, "FILE", NULL, "the training data",
                "texts from which small models learn the fine-tuned model's answers; best with those of --data in it"),
    TEXT_OPTION(columns, columns, "LIST", NULL, COLUMNS_STANDARD, COLUMNS_HELP),
    SIZE_OPTION(limit, limit, "all", LIMIT_HELP),
    SIZE_OPTION(max_length, max_length, "the model's", MAX_LENGTH_HELP),
#undef OPTION_SECTION
#define OPTION_SECTION "Target"
    TEXT_OPTION(target, target, "T", NULL, NULL,
                "0.3x: a part of the fine-tuned model's time; 2ms: for a text alone; 10MB: of weights"),
    BETWEEN_OPTION(max_drop, max_drop, 0, 100, "1", "points of quality that may be lost against the fine-tuned model"),
#undef OPTION_SECTION
#define OPTION_SECTION "Result"
    TEXT_OPTION(out, out, "DIR", NULL, NULL, "folder of the small model, the report and the stages"),
    FLAG_OPTION(plan, plan_only, "only show the stages and their estimated time"),
    FLAG_OPTION(resume, resume, "continue the run in --out"),
    FLAG_OPTION(overwrite, overwrite, OVERWRITE_HELP),
#undef OPTION_SECTION
#define OPTION_SECTION "Training"
    TEXT_OPTION(ways, ways, "LIST", NULL, "all", "ways to a small model: student,pruned,elastic"),
    TEXT_OPTION(precision, precision, "P", float_precision, "bf16 where the processor has it, else f32",
                "number format of the matrix products in training"),
    REAL_OPTION(epochs, epochs, "3", "passes over the data for fine-tuning; other stages have theirs in proportion"),
    SIZE_OPTION(threads, threads, THREADS_STANDARD, "threads to use"),
    TEXT_OPTION(isa, isa, "NAME", instruction_sets, ISA_STANDARD, ISA_HELP),
    SEED_OPTION(seed, seed, "seed of shuffling, dropout and new weights"),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Augmenting"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_augment_options
static const rubato_option augment_table[] = {
    TEXT_OPTION(data, data, "FILE", NULL, NULL, "texts or pairs with their labels" DATA_HELP),
    TEXT_OPTION(columns, columns, "LIST", NULL, COLUMNS_STANDARD, COLUMNS_HELP),
    TEXT_OPTION(out, out, "FILE", NULL, NULL, "the texts and what is made of them, as .tsv"),
    SIZE_OPTION(copies, copies, "20", "copies of a text; equal ones are left out"),
    SIZE_OPTION(candidates, candidates, "15", "words that may stand in the place of another"),
    BETWEEN_OPTION(probability, probability, 0, 1, "0.4", "probability with which a word is replaced"),
    SIZE_OPTION(limit, limit, "all", LIMIT_HELP),
    SIZE_OPTION(max_length, max_length, "the model's", MAX_LENGTH_HELP),
    SIZE_OPTION(threads, threads, THREADS_STANDARD, "threads to use"),
    TEXT_OPTION(isa, isa, "NAME", instruction_sets, ISA_STANDARD, ISA_HELP),
    SEED_OPTION(seed, seed, "seed of the copies"),
    FLAG_OPTION(overwrite, overwrite, "replace the file; without this option, that is refused"),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Data"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_memory_options
static const rubato_option memory_table[] = {
    TEXT_OPTION(data, data, "FILE", NULL, NULL, "texts: .tsv, .csv, .jsonl, or a text in each line"),
    TEXT_OPTION(columns, columns, "LIST", NULL, COLUMNS_STANDARD, COLUMNS_HELP),
    SIZE_OPTION(limit, limit, "all", "the first N texts only"),
    SIZE_OPTION(max_length, max_length, "the model's", MAX_LENGTH_HELP),
};

#undef OPTION_SECTION
#define OPTION_SECTION "Answers"
#undef OPTION_OWNER
#define OPTION_OWNER rubato_generate_options
static const rubato_option generate_table[] = {
    SIZE_OPTION(tokens, tokens, "64", "the most new tokens"),
    REAL_OPTION(temperature, temperature, "0: the most probable token",
                "draw tokens by softmax of logits / X; above 1 with more surprises, below 1 with fewer"),
    SIZE_OPTION(top, top, "all", "draw among the N most probable tokens"),
};

const rubato_option *rubato_option_at(rubato_option_group group, size_t index) {
#define GROUP(name, table) [RUBATO_OPTIONS_##name] = { table, sizeof table / sizeof table[0] }
    static const struct {
        const rubato_option *options;
        size_t count;
    } groups[RUBATO_OPTION_GROUPS] = {
        GROUP(LOAD, load_table),         GROUP(CONTEXT, context_table), GROUP(TEXT, text_table),
        GROUP(RUN, run_table),           GROUP(EVAL, eval_table),       GROUP(TRAIN, train_table),
        GROUP(TRIM, trim_table),         GROUP(CONVERT, convert_table), GROUP(QUANTIZE, quantize_table),
        GROUP(SEARCH, search_table),     GROUP(PULL, pull_table),       GROUP(VOCABULARY, vocabulary_table),
        GROUP(ADAPT, adapt_table),       GROUP(AUGMENT, augment_table), GROUP(MEMORY, memory_table),
        GROUP(GENERATE, generate_table),
    };
    if ((unsigned)group >= RUBATO_OPTION_GROUPS || index >= groups[group].count) return NULL;
    return &groups[group].options[index];
}
