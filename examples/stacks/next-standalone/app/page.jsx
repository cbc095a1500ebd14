export default function Page() {
  return <p>next</p>;
}
