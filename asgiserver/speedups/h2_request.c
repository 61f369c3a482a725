/* Requests of HTTP/2 as Python objects: what `h2_fields.c` has recognised, or None. */

#include "core.h"
#include "h2_fields.h"

/* The fields that an application gets, with what is known of each; the first is Host. */
typedef struct {
    RequestFields request;
    PyObject *fields[MOST_LINES]; /* borrowed, as all below; of Host there is none yet */
    PyObject *target, *authority, *priority;
    size_t cookie, crumbs; /* where the first cookie is, and how many there are */
} FieldList;

static void begin_list(FieldList *list) {
    begin_request(&list->request);
    list->target = list->authority = list->priority = NULL;
    list->cookie = list->crumbs = 0;
    list->request.head.lines[0].meaning = HOST_FIELD;
    list->request.head.count = 1;
}

/* Takes in a field; false when Python has to look at it. */
static bool add_field(const State *state, FieldList *list, PyObject *field, bool keep_underscores) {
    Head *head = &list->request.head;
    Line line;
    if (!is_field(field)
        || !take_field(
            &state->table, span_of(name_of(field)), span_of(value_of(field)), keep_underscores,
            &list->request, &line)) {
        return false;
    }
    switch (line.meaning) {
    case PATH_PSEUDO:
        list->target = value_of(field);
        return true;
    case AUTHORITY_PSEUDO:
        list->authority = value_of(field);
        return true;
    case METHOD_PSEUDO:
    case SCHEME_PSEUDO:
        return true;
    case PRIORITY:
        list->priority = value_of(field);
        break;
    case COOKIE:
        if (list->crumbs++ > 0) {
            return true;
        }
        list->cookie = head->count;
        break;
    default:
        break;
    }
    if (head->count == MOST_LINES) {
        return false;
    }
    list->fields[head->count] = field;
    head->lines[head->count++] = line;
    return true;
}

/* Writes all crumbs with "; " between them; NULL: only measures. The size of that. */
static size_t put_crumbs(const State *state, PyObject *fields, Writer *cookie) {
    const Span between = {(const uint8_t *)"; ", 2};
    size_t size = 0;
    bool is_first = true;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fields); i++) {
        PyObject *field = PyTuple_GET_ITEM(fields, i);
        if (!are_equal(name_of(field), state->cookie)) {
            continue;
        }
        Span crumb = span_of(value_of(field));
        size += (is_first ? 0 : between.size) + crumb.size;
        if (cookie != NULL) {
            (void)(is_first || put_span(cookie, between));
            put_span(cookie, crumb);
        }
        is_first = false;
    }
    return size;
}

/* The cookie in one field (RFC 9113 section 8.2.3). */
static PyObject *join_crumbs(const State *state, PyObject *fields) {
    size_t size = put_crumbs(state, fields, NULL);
    PyObject *items[2] = {Py_NewRef(state->cookie), NULL};
    items[1] = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (items[1] != NULL) {
        Writer writer = writer_of(PyBytes_AS_STRING(items[1]), size);
        put_crumbs(state, fields, &writer);
        if (writer_left(&writer) != 0) {
            PyErr_SetString(PyExc_SystemError, "a cookie of another size");
            Py_CLEAR(items[1]);
        }
    }
    return tuple_of(items, 2);
}

/* The list of fields as the application gets it. */
static PyObject *list_fields(const State *state, const FieldList *list, PyObject *given) {
    const Head *head = &list->request.head;
    PyObject *fields = PyList_New((Py_ssize_t)head->count);
    for (size_t i = 0; fields != NULL && i < head->count; i++) {
        PyObject *field;
        if (i == 0) {
            PyObject *items[2] = {Py_NewRef(state->host), Py_NewRef(list->authority)};
            field = tuple_of(items, 2);
        } else if (list->crumbs > 1 && i == list->cookie) {
            field = join_crumbs(state, given);
        } else {
            field = Py_NewRef(list->fields[i]);
        }
        if (field == NULL) {
            Py_CLEAR(fields);
        } else {
            PyList_SET_ITEM(fields, (Py_ssize_t)i, field);
        }
    }
    return fields;
}

static PyObject *make_request(const State *state, const FieldList *list, PyObject *given) {
    const Head *head = &list->request.head;
    PyObject *items[8] = {NULL};
    PyObject *fields = items[2] = list_fields(state, list, given);
    if (fields == NULL) {
        return NULL;
    }
    items[0] = Py_NewRef(state->methods[head->method]);
    items[1] = Py_NewRef(list->target);
    items[3] = PyBool_FromLong(head->facts & FACT_EXPECT);
    items[4] = list->request.has_length ? PyLong_FromUnsignedLongLong(head->content_length)
                                        : Py_NewRef(Py_None);
    items[5] = Py_NewRef(list->priority != NULL ? list->priority : Py_None);
    items[6] = make_forwarded(state, head, fields);
    items[7] = items[6] == NULL ? NULL : make_parts(head, list->target);
    return tuple_of(items, 8);
}

const char read_fields_doc[] =
    "read_fields(fields, most_fields, most_target, keep_underscores, has_body)\n--\n\n"
    "(method, target, fields, expects_continue, content_length, priority, forwarded, parts)\n"
    "of the fields of a request, or None when Python has to look at them.";

PyObject *read_fields(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "read_fields takes 5 arguments");
        return NULL;
    }
    Py_ssize_t most_fields = PyLong_AsSsize_t(args[1]);
    Py_ssize_t most_target = most_fields == -1 ? -1 : PyLong_AsSsize_t(args[2]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (!PyList_CheckExact(args[0])) {
        Py_RETURN_NONE;
    }
    PyObject *given = PyList_AsTuple(args[0]); /* so that nobody changes it meanwhile */
    if (given == NULL) {
        return NULL;
    }
    const State *state = PyModule_GetState(module);
    FieldList list;
    begin_list(&list);
    bool is_taken = true;
    for (Py_ssize_t i = 0; is_taken && i < PyTuple_GET_SIZE(given); i++) {
        is_taken = add_field(state, &list, PyTuple_GET_ITEM(given, i), args[3] == Py_True);
    }
    is_taken = is_taken && end_request(&list.request, args[4] == Py_True)
        && (Py_ssize_t)list.request.head.count <= most_fields
        && PyBytes_GET_SIZE(list.target) <= most_target;
    PyObject *result = is_taken ? make_request(state, &list, given) : Py_NewRef(Py_None);
    Py_DECREF(given);
    return result;
}
