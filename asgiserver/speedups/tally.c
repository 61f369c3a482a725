/* Sums of requests that have ended, as `asgiserver.metrics.requests` counts them: one row for each
   method, status and outcome that Python has asked a row for. What a row stands for is decided
   there; here are only its numbers. */

#include "core.h"

enum { MOST_ROWS = 64, MOST_BOUNDS = 15 };

typedef struct {
    PyObject *method, *outcome; /* these objects, not others that are equal */
    uint64_t status;
    double seconds;
    uint64_t sent, received;
    uint64_t buckets[MOST_BOUNDS + 1];
} Row;

/* The rows stay where they are: a finalizer may count, or open one, while they are read. */
typedef struct {
    PyObject_HEAD
    PyObject *usual; /* the outcome of most requests */
    size_t count;
    size_t bounds_count;
    double bounds[MOST_BOUNDS];
    Row rows[MOST_ROWS];
} Tally;

static inline Row *find_row(
    Tally *tally, PyObject *method, uint64_t status, PyObject *outcome) {
    for (size_t i = 0; i < tally->count; i++) {
        Row *row = &tally->rows[i];
        if (row->status == status && row->method == method && row->outcome == outcome) {
            return row;
        }
    }
    return NULL;
}

/* Adds to a row; false: there is none. The bucket is the first whose bound is not below the time. */
static inline bool add_to(
    Tally *tally, Row *row, double seconds, uint64_t sent, uint64_t received) {
    if (row == NULL) {
        return false;
    }
    size_t bucket = 0;
    while (bucket < tally->bounds_count && seconds > tally->bounds[bucket]) {
        bucket++;
    }
    row->buckets[bucket]++;
    row->seconds += seconds;
    row->sent += sent;
    row->received += received;
    return true;
}

/* An int from 0 to 2^63 - 1; false when `object` is something else. */
static inline bool number_of(PyObject *object, uint64_t *number) {
    if (!PyLong_CheckExact(object)) {
        return false;
    }
#if PY_VERSION_HEX >= 0x030C0000
    if (PyUnstable_Long_IsCompact((const PyLongObject *)object)) {
        Py_ssize_t small = PyUnstable_Long_CompactValue((const PyLongObject *)object);
        *number = (uint64_t)small;
        return small >= 0;
    }
#endif
    int overflow = 0;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    *number = (uint64_t)value;
    return overflow == 0 && value >= 0;
}

/* What `time.perf_counter` says. */
static inline bool read_clock(double *seconds) {
#ifdef __linux__
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) < 0) {
        return false;
    }
    *seconds = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
#elif PY_VERSION_HEX >= 0x030D0000
    PyTime_t now;
    if (PyTime_PerfCounterRaw(&now) < 0) {
        return false;
    }
    *seconds = PyTime_AsSecondsDouble(now);
#else
    *seconds = _PyTime_AsSecondsDouble(_PyTime_GetPerfCounter());
#endif
    return true;
}

PyDoc_STRVAR(count_doc,
"count(method, status, begun, sent)\n--\n\n"
"Whether a request with the usual outcome and without a body, which began at `begun` and has ended\n"
"now, was added to its row; False: it has no row, or something is odd, and nothing was added.");

static PyObject *tally_count(PyObject *self, PyObject *const *args, Py_ssize_t size) {
    Tally *tally = (Tally *)self;
    uint64_t status, sent;
    double now;
    if (size != 4) {
        PyErr_SetString(PyExc_TypeError, "count takes 4 arguments");
        return NULL;
    }
    bool is_counted = false;
    if (number_of(args[1], &status) && PyFloat_CheckExact(args[2]) && number_of(args[3], &sent)
        && read_clock(&now)) {
        BEGIN_USE(self);
        Row *row = find_row(tally, args[0], status, tally->usual);
        is_counted = add_to(tally, row, now - PyFloat_AS_DOUBLE(args[2]), sent, 0);
        END_USE()
    }
    return PyBool_FromLong(is_counted);
}

PyDoc_STRVAR(add_doc,
"add(method, status, outcome, seconds, sent, received)\n--\n\n"
"Whether a request that has taken `seconds` was added to its row.");

static PyObject *tally_add(PyObject *self, PyObject *const *args, Py_ssize_t size) {
    Tally *tally = (Tally *)self;
    uint64_t status, sent, received;
    if (size != 6) {
        PyErr_SetString(PyExc_TypeError, "add takes 6 arguments");
        return NULL;
    }
    bool is_counted = false;
    if (number_of(args[1], &status) && PyFloat_CheckExact(args[3]) && number_of(args[4], &sent)
        && number_of(args[5], &received)) {
        BEGIN_USE(self);
        Row *row = find_row(tally, args[0], status, args[2]);
        is_counted = add_to(tally, row, PyFloat_AS_DOUBLE(args[3]), sent, received);
        END_USE()
    }
    return PyBool_FromLong(is_counted);
}

PyDoc_STRVAR(open_doc,
"open(method, status, outcome)\n--\n\n"
"Makes a row for these objects, if there is room for one and none yet.");

static PyObject *tally_open(PyObject *self, PyObject *const *args, Py_ssize_t size) {
    Tally *tally = (Tally *)self;
    uint64_t status;
    if (size != 3 || !PyUnicode_CheckExact(args[0]) || !number_of(args[1], &status)
        || !PyUnicode_CheckExact(args[2])) {
        PyErr_SetString(PyExc_TypeError, "open takes a str, an int and a str");
        return NULL;
    }
    BEGIN_USE(self);
    if (tally->count < MOST_ROWS && find_row(tally, args[0], status, args[2]) == NULL) {
        Row *row = &tally->rows[tally->count++];
        row->method = Py_NewRef(args[0]);
        row->status = status;
        row->outcome = Py_NewRef(args[2]);
    }
    END_USE()
    Py_RETURN_NONE;
}

static PyObject *numbers_of(const Tally *tally, const Row *row) {
    size_t buckets = tally->bounds_count + 1, size = buckets + 3;
    PyObject *numbers = PyList_New((Py_ssize_t)size);
    for (size_t i = 0; numbers != NULL && i < size; i++) {
        PyObject *number;
        if (i < buckets) {
            number = PyLong_FromUnsignedLongLong(row->buckets[i]);
        } else if (i == buckets) {
            number = PyFloat_FromDouble(row->seconds);
        } else {
            number = PyLong_FromUnsignedLongLong(i == buckets + 1 ? row->sent : row->received);
        }
        if (number == NULL) {
            Py_CLEAR(numbers);
        } else {
            PyList_SET_ITEM(numbers, (Py_ssize_t)i, number);
        }
    }
    return numbers;
}

PyDoc_STRVAR(rows_doc,
"rows()\n--\n\n"
"All rows: (method, status, outcome, [count of each bucket, seconds, sent, received]).");

static PyObject *tally_rows(PyObject *self, PyObject *Py_UNUSED(none)) {
    Tally *tally = (Tally *)self;
    PyObject *rows = NULL;
    BEGIN_USE(self);
    rows = PyList_New((Py_ssize_t)tally->count);
    for (size_t i = 0; rows != NULL && i < (size_t)PyList_GET_SIZE(rows); i++) {
        const Row *row = &tally->rows[i];
        PyObject *items[4] = {
            Py_NewRef(row->method), PyLong_FromUnsignedLongLong(row->status), Py_NewRef(row->outcome),
            numbers_of(tally, row)};
        PyObject *made = tuple_of(items, 4);
        if (made == NULL) {
            Py_CLEAR(rows);
        } else {
            PyList_SET_ITEM(rows, (Py_ssize_t)i, made);
        }
    }
    END_USE()
    return rows;
}

static PyObject *tally_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    PyObject *bounds, *usual;
    if (keywords != NULL || !PyArg_ParseTuple(args, "O!U:Tally", &PyTuple_Type, &bounds, &usual)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(bounds) > MOST_BOUNDS) {
        PyErr_Format(PyExc_ValueError, "more than %d bounds", MOST_BOUNDS);
        return NULL;
    }
    Tally *tally = (Tally *)type->tp_alloc(type, 0);
    if (tally != NULL) {
        tally->usual = Py_NewRef(usual);
    }
    for (Py_ssize_t i = 0; tally != NULL && i < PyTuple_GET_SIZE(bounds); i++) {
        double bound = PyFloat_AsDouble(PyTuple_GET_ITEM(bounds, i));
        if (bound == -1 && PyErr_Occurred()) {
            Py_CLEAR(tally);
        } else {
            tally->bounds[tally->bounds_count++] = bound;
        }
    }
    return (PyObject *)tally;
}

static void tally_release(PyObject *self) {
    Tally *tally = (Tally *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(tally->usual);
    for (size_t i = 0; i < tally->count; i++) {
        Py_DECREF(tally->rows[i].method);
        Py_DECREF(tally->rows[i].outcome);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef tally_methods[] = {
    {"count", (PyCFunction)(void (*)(void))tally_count, METH_FASTCALL, count_doc},
    {"add", (PyCFunction)(void (*)(void))tally_add, METH_FASTCALL, add_doc},
    {"open", (PyCFunction)(void (*)(void))tally_open, METH_FASTCALL, open_doc},
    {"rows", tally_rows, METH_NOARGS, rows_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot tally_slots[] = {
    {Py_tp_doc, "Tally(bounds, usual)\n--\n\n"
                "Sums of requests, with the upper bounds of the buckets, and the usual outcome."},
    {Py_tp_new, tally_new},
    {Py_tp_dealloc, tally_release},
    {Py_tp_methods, tally_methods},
    {0, NULL},
};

PyType_Spec tally_spec = {
    .name = "asgiserver.speedups._core.Tally",
    .basicsize = sizeof(Tally),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = tally_slots,
};
