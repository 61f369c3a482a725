/* Request heads as Python objects: what `head.c` has recognised, or None.

   The module keeps its objects in its state, so each interpreter has its own; after the module has
   been made they are only read, and what a call makes belongs to that call. So threads need no
   lock, with or without the GIL. */

#include "addresses.h"
#include "core.h"

/* `asgiserver.speedups.BUILD` has to be the same: change both whenever what the functions and types
   of this module take or give changes. */
enum { BUILD = 6 };

PyObject *lower_bytes_of(Span span) {
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)span.size);
    if (bytes == NULL) {
        return NULL;
    }
    if (!span_copy_lower(span, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes))) {
        Py_DECREF(bytes);
        PyErr_SetString(PyExc_SystemError, "no room for a name");
        return NULL;
    }
    return bytes;
}

/* A tuple of `size` objects, which it takes over; NULL when one of them is NULL or memory ends. */
PyObject *tuple_of(PyObject *const *items, Py_ssize_t size) {
    bool is_whole = true;
    for (Py_ssize_t i = 0; i < size; i++) {
        is_whole = is_whole && items[i] != NULL;
    }
    PyObject *tuple = is_whole ? PyTuple_New(size) : NULL;
    for (Py_ssize_t i = 0; i < size; i++) {
        if (tuple != NULL) {
            PyTuple_SET_ITEM(tuple, i, items[i]);
        } else {
            Py_XDECREF(items[i]);
        }
    }
    return tuple;
}

/* Name and value of a line. */
static PyObject *make_field(const State *state, const Line *line) {
    PyObject *items[2];
    if (line->known >= 0) {
        items[0] = Py_NewRef(state->names[line->known]);
    } else {
        items[0] = lower_bytes_of(line->name);
    }
    items[1] = items[0] == NULL ? NULL : bytes_of(line->value);
    return tuple_of(items, 2);
}

static PyObject *make_fields(const State *state, const Head *head) {
    PyObject *fields = PyList_New((Py_ssize_t)head->count);
    for (size_t i = 0; fields != NULL && i < head->count; i++) {
        PyObject *field = make_field(state, &head->lines[i]);
        if (field == NULL) {
            Py_CLEAR(fields);
        } else {
            PyList_SET_ITEM(fields, (Py_ssize_t)i, field);
        }
    }
    return fields;
}

/* Adds a forwarding field; the values of one name are joined with commas. */
static bool add_forwarded(const State *state, PyObject *forwarded, PyObject *field) {
    PyObject *name = PyTuple_GET_ITEM(field, 0), *value = PyTuple_GET_ITEM(field, 1);
    PyObject *earlier = PyDict_GetItemWithError(forwarded, name);
    if (earlier == NULL) {
        return !PyErr_Occurred() && PyDict_SetItem(forwarded, name, value) == 0;
    }
    PyObject *joined = Py_NewRef(earlier);
    PyBytes_Concat(&joined, state->comma);
    if (joined != NULL) {
        PyBytes_Concat(&joined, value);
    }
    bool is_added = joined != NULL && PyDict_SetItem(forwarded, name, joined) == 0;
    Py_XDECREF(joined);
    return is_added;
}

PyObject *make_forwarded(const State *state, const Head *head, PyObject *fields) {
    if (!head->is_forwarded) {
        return Py_NewRef(Py_None);
    }
    PyObject *forwarded = PyDict_New();
    for (size_t i = 0; forwarded != NULL && i < head->count; i++) {
        if (head->lines[i].meaning == FORWARDING
            && !add_forwarded(state, forwarded, PyList_GET_ITEM(fields, (Py_ssize_t)i))) {
            Py_CLEAR(forwarded);
        }
    }
    return forwarded;
}

PyObject *make_parts(const Head *head, PyObject *target) {
    if (!head->is_plain) {
        return Py_NewRef(Py_None);
    }
    PyObject *items[3] = {NULL, NULL, NULL};
    items[0] = PyUnicode_DecodeASCII(
        (const char *)head->path.begin, (Py_ssize_t)head->path.size, NULL);
    if (items[0] != NULL) {
        items[1] = head->has_query ? bytes_of(head->path) : Py_NewRef(target);
    }
    if (items[1] != NULL) {
        items[2] = bytes_of(head->query);
    }
    return tuple_of(items, 3);
}

static PyObject *make_request(const State *state, const Head *head) {
    PyObject *version = head->facts & FACT_OLD ? state->version_1_0 : state->version_1_1;
    PyObject *items[9] = {NULL};
    Py_ssize_t size = 0;
    items[size++] = Py_NewRef(state->methods[head->method]);
    PyObject *target = items[size++] = bytes_of(head->target);
    items[size++] = Py_NewRef(version);
    PyObject *fields = items[size++] = target == NULL ? NULL : make_fields(state, head);
    if (fields != NULL) {
        items[size++] = PyLong_FromUnsignedLong(head->facts);
        items[size++] = PyLong_FromUnsignedLongLong(head->content_length);
        items[size++] = lower_bytes_of(head->upgrade);
        items[size++] = make_forwarded(state, head, fields);
        items[size++] = make_parts(head, target);
    }
    return tuple_of(items, size);
}

PyDoc_STRVAR(read_head_doc,
"read_head(head, most_fields, keep_underscores)\n--\n\n"
"(method, target, version, fields, facts, content_length, upgrade, forwarded, parts)\n"
"of a complete request head, or None when Python has to look at it.");

static PyObject *read_head(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "read_head takes 3 arguments");
        return NULL;
    }
    Py_ssize_t most_fields = PyLong_AsSsize_t(args[1]);
    if (most_fields == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (!PyBytes_CheckExact(args[0]) || most_fields < 0) {
        Py_RETURN_NONE;
    }
    const State *state = PyModule_GetState(module);
    Head head;
    if (!scan_head(&state->table, span_of(args[0]), (size_t)most_fields, args[2] == Py_True, &head)) {
        Py_RETURN_NONE;
    }
    return make_request(state, &head);
}

static bool add_address(PyObject *nodes, const Node *node) {
    PyObject *items[2] = {NULL, NULL};
    items[0] = PyUnicode_DecodeASCII((const char *)node->text, (Py_ssize_t)node->size, NULL);
    items[1] = items[0] == NULL ? NULL : PyLong_FromUnsignedLongLong(node->port);
    PyObject *address = tuple_of(items, 2);
    bool is_added = address != NULL && PyList_Append(nodes, address) == 0;
    Py_XDECREF(address);
    return is_added;
}

PyDoc_STRVAR(read_nodes_doc,
"read_nodes(value)\n--\n\n"
"The addresses of a list with their ports (0: unknown), or None when Python has to look at it.");

static PyObject *read_nodes(PyObject *module, PyObject *value) {
    (void)module;
    if (!PyBytes_CheckExact(value)) {
        Py_RETURN_NONE;
    }
    Reader reader = reader_of(span_of(value));
    PyObject *nodes = PyList_New(0);
    bool is_another = nodes != NULL;
    while (is_another) {
        Node node;
        if (PyList_GET_SIZE(nodes) == MOST_NODES || !take_node(&reader, &node)) {
            Py_DECREF(nodes);
            Py_RETURN_NONE;
        }
        if (!add_address(nodes, &node)) {
            Py_DECREF(nodes);
            return NULL;
        }
        is_another = take_byte(&reader, ',');
    }
    if (nodes != NULL && !reader_at_end(&reader)) {
        Py_DECREF(nodes);
        Py_RETURN_NONE;
    }
    return nodes;
}

static PyMethodDef functions[] = {
    {"read_head", (PyCFunction)(void (*)(void))read_head, METH_FASTCALL, read_head_doc},
    {"read_nodes", read_nodes, METH_O, read_nodes_doc},
    {"check_response", check_response, METH_O, check_response_doc},
    {"encode_head", (PyCFunction)(void (*)(void))encode_head, METH_FASTCALL, encode_head_doc},
    {"read_fields", (PyCFunction)(void (*)(void))read_fields, METH_FASTCALL, read_fields_doc},
    {"access_line", (PyCFunction)(void (*)(void))access_line, METH_FASTCALL, access_line_doc},
    {NULL, NULL, 0, NULL},
};

static int add_constants(PyObject *module) {
    const struct {
        const char *name;
        long value;
    } constants[] = {
        {"BUILD", BUILD},
        {"CLOSE", FACT_CLOSE},
        {"CHUNKED", FACT_CHUNKED},
        {"EXPECT", FACT_EXPECT},
        {"TRAILERS", FACT_TRAILERS},
        {"OLD", FACT_OLD},
        {"LENGTH", FACT_LENGTH},
        {"LONGEST_NAME", LONGEST_NAME},
        {"MOST_LINES", MOST_LINES},
    };
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0) {
            return -1;
        }
    }
    return 0;
}

int add_type(PyObject *module, PyType_Spec *spec) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int result = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return result;
}

static int execute(PyObject *module) {
    State *state = PyModule_GetState(module);
    fill_name_table(&state->table);
    for (int i = 0; i < NAMES; i++) {
        const Name *name = &common_names[i];
        state->names[i] = PyBytes_FromStringAndSize(name->text, (Py_ssize_t)name->size);
        if (state->names[i] == NULL) {
            return -1;
        }
    }
    for (int i = 0; i < METHODS; i++) {
        state->methods[i] = PyUnicode_InternFromString(supported_methods[i].text);
        if (state->methods[i] == NULL) {
            return -1;
        }
    }
    state->version_1_0 = PyUnicode_InternFromString("1.0");
    state->version_1_1 = PyUnicode_InternFromString("1.1");
    state->comma = PyBytes_FromStringAndSize(",", 1);
    if (state->version_1_0 == NULL || state->version_1_1 == NULL || state->comma == NULL) {
        return -1;
    }
    if (add_constants(module) < 0 || add_type(module, &tally_spec) < 0) {
        return -1;
    }
    return add_hpack(module, state);
}

static int traverse(PyObject *module, visitproc visit, void *arg) {
    State *state = PyModule_GetState(module);
    for (int i = 0; i < NAMES; i++) {
        Py_VISIT(state->names[i]);
    }
    for (int i = 0; i < METHODS; i++) {
        Py_VISIT(state->methods[i]);
    }
    Py_VISIT(state->version_1_0);
    Py_VISIT(state->version_1_1);
    Py_VISIT(state->comma);
    Py_VISIT(state->cookie);
    Py_VISIT(state->host);
    for (int i = 0; i < STATIC_FIELDS; i++) {
        Py_VISIT(state->static_fields[i]);
    }
    return 0;
}

static int clear(PyObject *module) {
    State *state = PyModule_GetState(module);
    for (int i = 0; i < NAMES; i++) {
        Py_CLEAR(state->names[i]);
    }
    for (int i = 0; i < METHODS; i++) {
        Py_CLEAR(state->methods[i]);
    }
    Py_CLEAR(state->version_1_0);
    Py_CLEAR(state->version_1_1);
    Py_CLEAR(state->comma);
    Py_CLEAR(state->cookie);
    Py_CLEAR(state->host);
    for (int i = 0; i < STATIC_FIELDS; i++) {
        Py_CLEAR(state->static_fields[i]);
    }
    return 0;
}

static void release(void *module) {
    clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "asgiserver.speedups._core",
    .m_doc = "Request heads, field blocks and sums, in C; see docs/adr/0023.",
    .m_size = sizeof(State),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&definition);
}
