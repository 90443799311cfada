/* The state trie's update in C: the same as `trie_descent.py`, rule for rule, and only that (L-20).

   It exists for speed and is optional: an installation without a C compiler runs the Python one, and a test holds both
   against the same trie. Read that module first; names are the same here. What differs is how a branch is held: the
   sixteen children lie open in one struct, so that a change is a copy of 32 or 96 bytes, and no object is made but what
   is written, read and hashed.

   No state, no memory kept, no hash of its own: SHA-256 is the caller's, as a Python callable. Whatever a stored node
   holds is checked before it is used. Recursion ends at 64 nibbles, some 130 KiB of stack at most. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
#include <string.h>

#ifndef SOURCE
#define SOURCE "" /* SHA-256 of this file, in hex: scripts/build_native.py gives it, a test compares it */
#endif

enum { HASH = 32, LEAF = 64, HEAD = 4, NIBBLES = 64, CHILDREN = 16, TAG_MAX = 64 };

typedef enum { NONE, A_LEAF, A_BRANCH } kind_t;

typedef struct {
    kind_t kind;
    unsigned char hash[HASH];
    unsigned char leaf[LEAF]; /* path, digest of the value; of a leaf only */
} child_t;

typedef struct {
    unsigned char path[HASH];
    child_t child; /* what shall be there; NONE to remove */
} change_t;

typedef struct {
    unsigned present, leaves;
    unsigned char hash[CHILDREN][HASH];
    unsigned char leaf[CHILDREN][LEAF];
} node_t;

typedef struct {
    unsigned char bytes[TAG_MAX];
    Py_ssize_t size;
} tag_t;

typedef struct {
    PyObject *get, *sha256, *error, *writes;
    tag_t key_tag, value_tag, leaf_tag, branch_tag;
    change_t *changes;
    unsigned char position[NIBBLES];
} work_t;

static int branch(work_t *w, PyObject *data, int depth, Py_ssize_t start, Py_ssize_t stop, child_t *out);

/* -- Hashes ------------------------------------------------------------------------------------------------------- */

/* SHA-256 of head || tail into out. -1 with an exception. */
static int digest(work_t *w, const tag_t *head, const void *tail, Py_ssize_t size, unsigned char *out) {
    PyObject *data = PyBytes_FromStringAndSize(NULL, head->size + size);
    if (data == NULL) return -1;
    memcpy(PyBytes_AS_STRING(data), head->bytes, (size_t)head->size);
    memcpy(PyBytes_AS_STRING(data) + head->size, tail, (size_t)size);
    PyObject *hash = PyObject_CallFunctionObjArgs(w->sha256, data, NULL);
    Py_DECREF(data);
    if (hash == NULL) return -1;
    PyObject *value = PyObject_CallMethod(hash, "digest", NULL);
    Py_DECREF(hash);
    if (value == NULL) return -1;
    if (!PyBytes_Check(value) || PyBytes_GET_SIZE(value) != HASH) {
        Py_DECREF(value);
        PyErr_SetString(PyExc_TypeError, "a digest is 32 bytes");
        return -1;
    }
    memcpy(out, PyBytes_AS_STRING(value), HASH);
    Py_DECREF(value);
    return 0;
}

/* -- Nodes -------------------------------------------------------------------------------------------------------- */

static int bits(unsigned value) {
    int count = 0;
    for (; value; value &= value - 1) count++;
    return count;
}

static int refuse(work_t *w, int depth, const char *words) {
    char at[2 * NIBBLES + 1];
    for (int i = 0; i < depth; i++) snprintf(at + 2 * i, 3, "%02x", w->position[i]);
    at[2 * depth] = 0;
    PyErr_Format(w->error, "the trie node at '%s' is %s", at, words);
    return -1;
}

/* Open a stored branch. -1 with BrokenInvariant if its length does not fit its bitmaps. */
static int stored(work_t *w, PyObject *data, int depth, node_t *n) {
    if (!PyBytes_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "a stored node is bytes");
        return -1;
    }
    const unsigned char *at = (const unsigned char *)PyBytes_AS_STRING(data);
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    n->present = n->leaves = 0;
    if (size > HEAD) {
        n->present = (unsigned)(at[0] << 8 | at[1]);
        n->leaves = (unsigned)(at[2] << 8 | at[3]);
    }
    if (size != HEAD + HASH * bits(n->present) + LEAF * bits(n->leaves) || (n->leaves & ~n->present) || !n->present)
        return refuse(w, depth, "damaged");
    at += HEAD;
    for (int i = 0; i < CHILDREN; i++)
        if (n->present >> i & 1) memcpy(n->hash[i], at, HASH), at += HASH;
    for (int i = 0; i < CHILDREN; i++)
        if (n->leaves >> i & 1) memcpy(n->leaf[i], at, LEAF), at += LEAF;
    return 0;
}

static void take(const node_t *n, int nibble, child_t *out) {
    out->kind = n->leaves >> nibble & 1 ? A_LEAF : n->present >> nibble & 1 ? A_BRANCH : NONE;
    if (out->kind != NONE) memcpy(out->hash, n->hash[nibble], HASH);
    if (out->kind == A_LEAF) memcpy(out->leaf, n->leaf[nibble], LEAF);
}

/* The nibble of the one child, if there is one only and it is a leaf; -1 otherwise. */
static int only_leaf(const node_t *n) {
    if (!n->present || n->present != n->leaves || (n->present & (n->present - 1))) return -1;
    int nibble = 0;
    while (!(n->present >> nibble & 1)) nibble++;
    return nibble;
}

static void put(node_t *n, int nibble, const child_t *child) {
    unsigned bit = 1u << nibble;
    n->present &= ~bit;
    n->leaves &= ~bit;
    if (child->kind == NONE) return;
    n->present |= bit;
    memcpy(n->hash[nibble], child->hash, HASH);
    if (child->kind == A_LEAF) {
        n->leaves |= bit;
        memcpy(n->leaf[nibble], child->leaf, LEAF);
    }
}

static int write_at(work_t *w, int depth, PyObject *value) {
    PyObject *key = PyBytes_FromStringAndSize((const char *)w->position, depth);
    if (key == NULL) return -1;
    int failed = PyDict_SetItem(w->writes, key, value);
    Py_DECREF(key);
    return failed;
}

/* What a branch has become: still one, or one leaf that belongs to the parent, or nothing. `before` may be NULL. */
static int settle(work_t *w, int depth, const node_t *n, PyObject *before, child_t *out) {
    int only = only_leaf(n);
    if (only >= 0 || !n->present) {
        out->kind = NONE;
        if (only >= 0) take(n, only, out);
        return write_at(w, depth, Py_None);
    }
    int count = bits(n->present);
    PyObject *after = PyBytes_FromStringAndSize(NULL, HEAD + HASH * count + LEAF * bits(n->leaves));
    if (after == NULL) return -1;
    unsigned char hashed[2 + CHILDREN * HASH];
    unsigned char *at = (unsigned char *)PyBytes_AS_STRING(after), *end = hashed + 2;
    at[0] = hashed[0] = (unsigned char)(n->present >> 8);
    at[1] = hashed[1] = (unsigned char)n->present;
    at[2] = (unsigned char)(n->leaves >> 8);
    at[3] = (unsigned char)n->leaves;
    for (int i = 0; i < CHILDREN; i++)
        if (n->present >> i & 1) memcpy(end, n->hash[i], HASH), end += HASH;
    memcpy(at + HEAD, hashed + 2, (size_t)(HASH * count));
    at += HEAD + HASH * count;
    for (int i = 0; i < CHILDREN; i++)
        if (n->leaves >> i & 1) memcpy(at, n->leaf[i], LEAF), at += LEAF;
    int same = before != NULL && PyBytes_GET_SIZE(before) == PyBytes_GET_SIZE(after) &&
               !memcmp(PyBytes_AS_STRING(before), PyBytes_AS_STRING(after), (size_t)PyBytes_GET_SIZE(after));
    int failed = same ? 0 : write_at(w, depth, after);
    Py_DECREF(after);
    out->kind = A_BRANCH;
    return failed ? -1 : digest(w, &w->branch_tag, hashed, end - hashed, out->hash);
}

/* -- Descent ------------------------------------------------------------------------------------------------------ */

static int nibble_of(const unsigned char *path, int depth) {
    return depth & 1 ? path[depth / 2] & 15 : path[depth / 2] >> 4;
}

static int too_deep(work_t *w) {
    PyErr_SetString(w->error, "two keys of the trie have one path");
    return -1;
}

/* Write the branches that `count` distinct leaves, in order, need below the position of this depth. */
static int build(work_t *w, int depth, const child_t **leaves, Py_ssize_t count, child_t *out) {
    if (count < 2) {
        out->kind = NONE;
        if (count) *out = *leaves[0];
        return 0;
    }
    if (depth >= NIBBLES) return too_deep(w);
    node_t n;
    n.present = n.leaves = 0;
    for (Py_ssize_t start = 0, end; start < count; start = end) {
        int nibble = nibble_of(leaves[start]->leaf, depth);
        for (end = start + 1; end < count && nibble_of(leaves[end]->leaf, depth) == nibble; end++)
            ;
        child_t child;
        w->position[depth] = (unsigned char)nibble;
        if (build(w, depth + 1, leaves + start, end - start, &child)) return -1;
        put(&n, nibble, &child);
    }
    return settle(w, depth, &n, NULL, out);
}

/* Apply changes[start:stop] where there was nothing, or one leaf, below the position of this depth. */
static int grow(work_t *w, int depth, const child_t *leaf, Py_ssize_t start, Py_ssize_t stop, child_t *out) {
    const child_t *few[2], **all = few;
    Py_ssize_t count = 0;
    int waits = leaf->kind == A_LEAF;
    if (stop - start > 1 && (all = PyMem_Malloc((size_t)(stop - start + 1) * sizeof *all)) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (; start < stop; start++) {
        const change_t *change = &w->changes[start];
        if (waits) {
            int order = memcmp(leaf->leaf, change->path, HASH);
            if (order < 0) all[count++] = leaf;
            if (order <= 0) waits = 0;
        }
        if (change->child.kind != NONE) all[count++] = &change->child;
    }
    if (waits) all[count++] = leaf;
    int failed = build(w, depth, all, count, out);
    if (all != few) PyMem_Free(all);
    return failed;
}

/* Apply changes[start:stop], all below the position of this depth, to the branch stored there as `data`. */
static int change_branch(work_t *w, PyObject *data, int depth, Py_ssize_t start, Py_ssize_t stop, child_t *out) {
    if (depth >= NIBBLES) return refuse(w, depth, "damaged: paths end here");
    node_t n;
    if (stored(w, data, depth, &n)) return -1;
    for (Py_ssize_t end; start < stop; start = end) {
        int nibble = nibble_of(w->changes[start].path, depth);
        for (end = start + 1; end < stop && nibble_of(w->changes[end].path, depth) == nibble; end++)
            ;
        child_t was, child;
        take(&n, nibble, &was);
        w->position[depth] = (unsigned char)nibble;
        if (was.kind == A_BRANCH ? branch(w, NULL, depth + 1, start, end, &child)
                                 : grow(w, depth + 1, &was, start, end, &child))
            return -1;
        put(&n, nibble, &child);
    }
    return settle(w, depth, &n, data, out);
}

/* The same; `data` is read where it is NULL. */
static int branch(work_t *w, PyObject *data, int depth, Py_ssize_t start, Py_ssize_t stop, child_t *out) {
    if (data != NULL) return change_branch(w, data, depth, start, stop, out);
    PyObject *key = PyBytes_FromStringAndSize((const char *)w->position, depth);
    if (key == NULL) return -1;
    data = PyObject_CallFunctionObjArgs(w->get, key, NULL);
    Py_DECREF(key);
    if (data == NULL) return -1;
    int failed = -1;
    if (data == Py_None) refuse(w, depth, "missing");
    else if (!Py_EnterRecursiveCall(" in the state trie")) {
        failed = change_branch(w, data, depth, start, stop, out);
        Py_LeaveRecursiveCall();
    }
    Py_DECREF(data);
    return failed;
}

/* -- The one function --------------------------------------------------------------------------------------------- */

static int by_path(const void *left, const void *right) {
    return memcmp(((const change_t *)left)->path, ((const change_t *)right)->path, HASH);
}

/* A key's path: of the caller's function, or the digest that L-20 says. */
static int path_of(work_t *w, PyObject *function, PyObject *key, unsigned char *out) {
    if (!PyBytes_Check(key)) {
        PyErr_SetString(PyExc_TypeError, "a key is bytes");
        return -1;
    }
    if (function == Py_None) return digest(w, &w->key_tag, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), out);
    PyObject *path = PyObject_CallFunctionObjArgs(function, key, NULL);
    if (path == NULL) return -1;
    int good = PyBytes_Check(path) && PyBytes_GET_SIZE(path) == HASH;
    if (good) memcpy(out, PyBytes_AS_STRING(path), HASH);
    Py_DECREF(path);
    if (!good) PyErr_SetString(PyExc_TypeError, "a path is 32 bytes");
    return good ? 0 : -1;
}

static int read_change(work_t *w, PyObject *function, PyObject *key, PyObject *value, change_t *out) {
    if (path_of(w, function, key, out->path)) return -1;
    out->child.kind = NONE;
    if (value == Py_None) return 0;
    if (!PyBytes_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "a value is bytes or None");
        return -1;
    }
    unsigned char *leaf = out->child.leaf;
    out->child.kind = A_LEAF;
    memcpy(leaf, out->path, HASH);
    if (digest(w, &w->value_tag, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), leaf + HASH)) return -1;
    return digest(w, &w->leaf_tag, leaf, LEAF, out->child.hash);
}

static int read_tag(PyObject *tags, Py_ssize_t index, tag_t *out) {
    PyObject *tag = PyTuple_GetItem(tags, index);
    if (tag == NULL) return -1;
    if (!PyBytes_Check(tag) || PyBytes_GET_SIZE(tag) > TAG_MAX) {
        PyErr_SetString(PyExc_TypeError, "a tag is bytes, at most 64");
        return -1;
    }
    out->size = PyBytes_GET_SIZE(tag);
    memcpy(out->bytes, PyBytes_AS_STRING(tag), (size_t)out->size);
    return 0;
}

/* All changes, sorted by path, into w->changes; how many, or -1. */
static Py_ssize_t read_changes(work_t *w, PyObject *changes, PyObject *function) {
    PyObject *items = PyMapping_Items(changes); /* a list of its own: callbacks cannot change it under us */
    if (items == NULL) return -1;
    Py_ssize_t count = PyList_GET_SIZE(items), index = 0;
    w->changes = PyMem_Malloc((size_t)(count ? count : 1) * sizeof *w->changes);
    if (w->changes == NULL) PyErr_NoMemory();
    else
        for (; index < count; index++) {
            PyObject *pair = PyList_GetItem(items, index); /* the collector shows the list to whoever looks */
            if (pair == NULL) break;
            Py_INCREF(pair);
            int good = PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) == 2;
            if (!good) PyErr_SetString(PyExc_TypeError, "changes are pairs");
            else
                good = !read_change(w, function, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1),
                                    &w->changes[index]);
            Py_DECREF(pair);
            if (!good) break;
        }
    Py_DECREF(items);
    if (w->changes == NULL || index < count) return -1;
    qsort(w->changes, (size_t)count, sizeof *w->changes, by_path);
    for (index = 1; index < count; index++)
        if (!by_path(&w->changes[index - 1], &w->changes[index])) return too_deep(w);
    return count;
}

static int run(work_t *w, PyObject *data, PyObject *changes, PyObject *function, child_t *top) {
    Py_ssize_t count = read_changes(w, changes, function);
    if (count < 0) return -1;
    child_t only;
    only.kind = NONE;
    if (data == Py_None) return grow(w, 0, &only, 0, count, top);
    node_t root;
    if (stored(w, data, 0, &root)) return -1;
    int nibble = only_leaf(&root);
    if (nibble < 0) return branch(w, data, 0, 0, count, top);
    take(&root, nibble, &only);
    return grow(w, 0, &only, 0, count, top);
}

PyDoc_STRVAR(descend_doc,
             "descend(get, data, changes, path_of, sha256, tags, error)\n--\n\n"
             "See trie_descent.descend; path_of may be None for that of L-20.\n"
             "tags: of a key, a value, a leaf, a branch. error: what is raised for a damaged store.");

static PyObject *descend(PyObject *module, PyObject *args) {
    (void)module;
    work_t w;
    memset(&w, 0, sizeof w);
    PyObject *data, *changes, *function, *tags;
    if (!PyArg_ParseTuple(args, "OOOOOO!O:descend", &w.get, &data, &changes, &function, &w.sha256, &PyTuple_Type, &tags,
                          &w.error))
        return NULL;
    if (read_tag(tags, 0, &w.key_tag) || read_tag(tags, 1, &w.value_tag) || read_tag(tags, 2, &w.leaf_tag) ||
        read_tag(tags, 3, &w.branch_tag))
        return NULL;
    if ((w.writes = PyDict_New()) == NULL) return NULL;
    child_t top;
    int failed = run(&w, data, changes, function, &top);
    PyMem_Free(w.changes);
    if (failed) {
        Py_DECREF(w.writes);
        return NULL;
    }
    const char *hash = top.kind == NONE ? NULL : (const char *)top.hash;
    const char *leaf = top.kind == A_LEAF ? (const char *)top.leaf : NULL;
    return Py_BuildValue("y#y#N", hash, (Py_ssize_t)HASH, leaf, (Py_ssize_t)LEAF, w.writes);
}

static PyMethodDef methods[] = {{"descend", descend, METH_VARARGS, descend_doc}, {NULL, NULL, 0, NULL}};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_descent", "The state trie's update in C.", 0, methods,
                                        NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__descent(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddStringConstant(module, "SOURCE", SOURCE)) Py_CLEAR(module);
    return module;
}
