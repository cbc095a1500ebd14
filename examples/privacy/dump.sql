--
-- PostgreSQL database dump
--

\restrict gXqP0ZkV3example

-- Dumped from database version 17.6
-- Dumped by pg_dump version 17.6

SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: mood; Type: TYPE; Schema: public; Owner: shop
--

CREATE TYPE public.mood AS ENUM (
    'happy',
    'it''s; complicated'
);

--
-- Name: touch(); Type: FUNCTION; Schema: public; Owner: shop
--

CREATE FUNCTION public.touch() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  -- COPY public.users (id) FROM stdin;
  NEW.seen_at := now();
  RETURN NEW;
END;
$$;

SET default_table_access_method = heap;

--
-- Name: users; Type: TABLE; Schema: public; Owner: shop
--

CREATE TABLE public.users (
    id bigint NOT NULL,
    email character varying(255) NOT NULL,
    name text,
    phone character varying(32),
    born date,
    notes text,
    iban text,
    token character(16),
    last_ip inet,
    plan text DEFAULT 'free'::text,
    profile jsonb,
    seen_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE SEQUENCE public.users_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.users_id_seq OWNED BY public.users.id;

--
-- Name: orders; Type: TABLE; Schema: public; Owner: shop
--

CREATE TABLE public.orders (
    id bigint NOT NULL,
    customer_email character varying(255),
    card_number text,
    city text,
    total numeric(10,2) NOT NULL
);

CREATE TABLE public.audit_log (
    id bigint NOT NULL,
    user_id bigint,
    what text
);

--
-- Name: customers; Type: VIEW; Schema: public; Owner: shop
--

CREATE VIEW public.customers AS
 SELECT id,
    lower((email)::text) AS email
   FROM public.users;

--
-- Data for Name: audit_log; Type: TABLE DATA; Schema: public; Owner: shop
--

COPY public.audit_log (id, user_id, what) FROM stdin;
1	1	login from 203.0.113.7
2	3	password changed
\.


--
-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: shop
--

COPY public.orders (id, customer_email, card_number, city, total) FROM stdin;
1	marie.curie@dropit.example	4111 1111 1111 1111	Paris	12.50
2	jose@dropit.example	\N	Lisboa	8.00
3	marie.curie@dropit.example	5500 0000 0000 0004	\N	99.99
\.


--
-- Data for Name: users; Type: TABLE DATA; Schema: public; Owner: shop
--

COPY public.users (id, email, name, phone, born, notes, iban, token, last_ip, plan, profile, seen_at) FROM stdin;
1	marie.curie@dropit.example	Marie Skłodowska	+33 6 12 34 56 78	1984-02-29	likes \\N and tabs\there	FR7630006000011234567890189	3f0c9a7be1d24c55	203.0.113.7	pro	{"address": {"city": "Paris", "country": "FR"}, "contacts": [{"email": "pierre@dropit.example"}, {"email": null}], "theme": "dark"}	2024-05-01 08:30:00+00
2	jose@dropit.example	José Quintanilha	0033612345678	1990-12-01	\N	\N	\N	2001:db8::1	\N	{}	2024-05-02 09:00:00.25+00
3	o'brien@dropit.example	O'Brien\nSecond line	\N	\N				\N	free	{"address": {"city": "Saint-Denis \\"93\\""}}	2024-05-03 10:00:00+00
\.


SELECT pg_catalog.setval('public.users_id_seq', 3, true);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_email_key UNIQUE (email);

CREATE INDEX orders_email_idx ON public.orders USING btree (customer_email);

CREATE TRIGGER touch BEFORE UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.touch();

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_customer_fkey FOREIGN KEY (customer_email) REFERENCES public.users(email);

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_user_fkey FOREIGN KEY (user_id) REFERENCES public.users(id);

--
-- PostgreSQL database dump complete
--

\unrestrict gXqP0ZkV3example

