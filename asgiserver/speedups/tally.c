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
    size_t count;
    Row rows[MOST_ROWS];
    size_t bounds_count;
    double bounds[MOST_BOUNDS];
} Tally;

static Row *find_row(Tally *tally, PyObject *method, uint64_t status, PyObject *outcome) {
    for (size_t i = 0; i < tally->count; i++) {
        Row *row = &tally->rows[i];
        if (row->status == status && row->method == method && row->outcome == outcome) {
            return row;
        }
    }
    return NULL;
}

/* The bucket of a time: the first whose bound is not below it. */
static size_t bucket_of(const Tally *tally, double seconds) {
    size_t bucket = 0;
    while (bucket < tally->bounds_count && seconds > tally->bounds[bucket]) {
        bucket++;
    }
    return bucket;
}

/* An int from 0 to 2^63 - 1; false when `object` is something else. */
static bool number_of(PyObject *object, uint64_t *number) {
    int overflow = 0;
    long long value = -1;
    if (PyLong_CheckExact(object)) {
        value = PyLong_AsLongLongAndOverflow(object, &overflow);
    }
    *number = (uint64_t)value;
    return overflow == 0 && value >= 0;
}

/* What `time.perf_counter` says. */
static bool read_clock(double *seconds) {
#if PY_VERSION_HEX >= 0x030D0000
    PyTime_t time;
    if (PyTime_PerfCounterRaw(&time) < 0) {
        return false;
    }
    *seconds = PyTime_AsSecondsDouble(time);
#else
    *seconds = _PyTime_AsSecondsDouble(_PyTime_GetPerfCounter());
#endif
    return true;
}

PyDoc_STRVAR(count_doc,
"count(method, status, outcome, begun, sent, received)\n--\n\n"
"Adds a request to its row, and gives the seconds since `begun`, a `time.perf_counter`; None: it\n"
"has no row, or something is odd, and nothing was added.");

static PyObject *tally_count(PyObject *self, PyObject *const *args, Py_ssize_t size) {
    Tally *tally = (Tally *)self;
    if (size != 6) {
        PyErr_SetString(PyExc_TypeError, "count takes 6 arguments");
        return NULL;
    }
    uint64_t status, sent, received;
    double now;
    if (!number_of(args[1], &status) || !PyFloat_CheckExact(args[3])
        || !number_of(args[4], &sent) || !number_of(args[5], &received) || !read_clock(&now)) {
        Py_RETURN_NONE;
    }
    double seconds = now - PyFloat_AS_DOUBLE(args[3]);
    PyObject *taken = NULL;
    BEGIN_USE(self);
    Row *row = find_row(tally, args[0], status, args[2]);
    taken = row == NULL ? Py_NewRef(Py_None) : PyFloat_FromDouble(seconds);
    if (row != NULL && taken != NULL) {
        row->buckets[bucket_of(tally, seconds)]++;
        row->seconds += seconds;
        row->sent += sent;
        row->received += received;
    }
    END_USE()
    return taken;
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
    PyObject *bounds;
    if (keywords != NULL || !PyArg_ParseTuple(args, "O!:Tally", &PyTuple_Type, &bounds)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(bounds) > MOST_BOUNDS) {
        PyErr_Format(PyExc_ValueError, "more than %d bounds", MOST_BOUNDS);
        return NULL;
    }
    Tally *tally = (Tally *)type->tp_alloc(type, 0);
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
    for (size_t i = 0; i < tally->count; i++) {
        Py_DECREF(tally->rows[i].method);
        Py_DECREF(tally->rows[i].outcome);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef tally_methods[] = {
    {"count", (PyCFunction)(void (*)(void))tally_count, METH_FASTCALL, count_doc},
    {"open", (PyCFunction)(void (*)(void))tally_open, METH_FASTCALL, open_doc},
    {"rows", tally_rows, METH_NOARGS, rows_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot tally_slots[] = {
    {Py_tp_doc, "Tally(bounds)\n--\n\nSums of requests, with the upper bounds of the buckets."},
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
